// Package qr draws QR codes of key URIs (package otpauth): as PNG, as SVG, and in a
// terminal. It is a module of its own because the code words come from
// github.com/boombuler/barcode.
//
// All of them have error correction level M, which a screen does not need but a
// scratched or reflecting one may, and the quiet zone of four modules that ISO/IEC
// 18004 asks for.
//
// The text is as secret as the seed in it: show it once, over TLS, with Cache-Control:
// no-store, and do not write it to a file. Nothing in this package's errors tells it.
// Drawing takes some milliseconds, so it belongs behind a login and a limit.
//
// The functions are safe for concurrent use.
package qr
