module otp.example/otp/internal/proof

go 1.26.0
