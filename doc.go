// Package otp issues, delivers and checks one-time passwords.
package otp
