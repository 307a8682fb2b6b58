module otp.example/otp/redisstore

go 1.26.0

