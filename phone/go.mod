module otp.example/otp/phone

go 1.26.0

