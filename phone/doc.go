// Package phone turns what people type as a telephone number into E.164.
package phone
