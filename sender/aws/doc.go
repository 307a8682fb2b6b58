// Package aws sends codes with the services of AWS.
package aws
