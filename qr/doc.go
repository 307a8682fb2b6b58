// Package qr draws QR codes of key URIs.
package qr
