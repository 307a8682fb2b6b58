package otptest

// TestNumbersAs is TestNumbers in a program that is a test or not.
var TestNumbersAs = testNumbers
