module otp.example/otp/sender/smtp

go 1.26.0

