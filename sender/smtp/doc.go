// Package smtp sends codes by e-mail, through any mail server that takes mail for
// others: a provider's, or one's own relay. It is a module of its own, since it needs
// github.com/wneessen/go-mail.
//
//	sender, err := smtp.New(smtp.Config{
//		Host:     "smtp.example.com",
//		From:     "Example <login@example.com>",
//		Username: "login@example.com",
//		Password: otp.NewSecret(os.Getenv("SMTP_PASSWORD")),
//	})
//
// # Where the settings come from
//
// The provider's page on "SMTP" or "submission" names the host, the port, and how to get
// a user name and a password; with two-factor authentication on the mailbox that is an
// "app password". From must be an address that the account may send for. So that the
// mails arrive, its domain needs the SPF, DKIM and DMARC records that the same page
// lists: without them large mailbox providers refuse or hide them.
//
// # What mistakes cost
//
//   - InsecureNoTLS shows every code, and the password, to whoever is on the way. It is
//     for a relay on the same machine.
//   - A From that the account may not use, or wrong credentials, refuse every message.
//   - More Connections than the server takes from one account make it answer 421, which
//     is [sender.ErrTryLater].
//   - A mail server that takes the message has not delivered it: unknown mailboxes are
//     often found only later. The bounce goes to From, so read it.
//
// # Guarantees
//
// The connection is encrypted, with TLS 1.2 at least and a certificate that is checked,
// before the credentials and the code are sent. Each message has one recipient and the
// header fields Auto-Submitted (RFC 3834), Date, From, Message-ID, MIME-Version, Subject
// and To, with those of MIME. The Message-ID comes from Message.Key, so all tries of one send have
// the same, and mailboxes that look for repeats show one.
//
// Answers of the server are mapped thus:
//
//   - 4yz, and a connection that fails before the message was complete:
//     [sender.ErrTryLater];
//   - 550, 551 and 553 for the recipient: [otp.ErrUndeliverable], unless its enhanced
//     status code (RFC 3463) is about something else than the mailbox;
//   - any other 5yz, no TLS, a bad certificate, wrong credentials: [otp.ErrNotAccepted];
//   - a connection that fails after the message was complete: none of these, since the
//     message may be on its way.
//
// Errors hold numbers, and nothing that the server wrote: servers repeat addresses.
package smtp
