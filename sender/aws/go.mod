module otp.example/otp/sender/aws

go 1.26.0

