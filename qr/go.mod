module otp.example/otp/qr

go 1.26.0

