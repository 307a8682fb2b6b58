// Package qr holds module qr against a reader that other people wrote: zbarimg of the
// ZBar project (apt-get install zbar-tools). What a page, an image and a terminal show
// is read back as the key URI that went in.
package qr
