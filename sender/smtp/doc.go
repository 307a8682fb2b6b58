// Package smtp sends codes by e-mail.
package smtp
