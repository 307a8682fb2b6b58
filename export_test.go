package otp

// Charging is what the service makes of a store that cannot charge by itself.
var Charging = charging
