// Package message writes what a person reads or hears: templates in eight languages
// (English, German, French, Spanish, Portuguese, Arabic, Hindi, Chinese) or your own,
// for otp.Config.Render.
//
//	r, err := message.New(message.Config{App: "Example", Host: "example.com"})
//	svc, err := otp.New(otp.Config{Render: r.Render, …})
//
// # Your own templates
//
// Config.Templates is a file system with files of text/template that take the place of the
// default ones: os.DirFS, or an embed.FS, through fs.Sub if they are in a directory of their
// own.
//
//	en/email.txt                   e-mail in English: "Subject: …", an empty line, the text
//	en/email/payment.txt           the same for the usage "payment"
//	en/sms.txt                     SMS; voice, whatsapp, push, … alike
//	en/message.txt                 every channel that has no file of its own
//	tenants/acme/en/sms.txt        any of these for one tenant
//	email.html                     e-mail as HTML (html/template), for all languages
//	tenants/acme/email.html        the same for one tenant
//	en/email.html                  the same for one language, or usage, as above
//
// The language decides first, since what cannot be read helps nobody: of Message.Locale
// "pt-BR", the directories pt-br, pt, those of Config.Locale and en are looked at in this
// order (RFC 4647 section 3.4; case and '_' for '-' do not matter). Within one language a
// channel's file goes before message.txt, a tenant's before the common ones, a usage's
// before the rest, and yours before the default. zh is in simplified characters and
// serves zh-Hant, too, as long as there is no zh-hant of yours; es takes the polite form
// and pt the spelling of Brazil.
//
// A template is given
//
//	.Code        the code as it is to be typed; {{len .Code}} is its length
//	.Spoken      the code for a voice: "4, 9, 3, 8, 1, 7"
//	.Lifetime    how long it is valid, in words: "5 minutes"; "5 min" in languages of yours
//	.TTL         the same as a time.Duration
//	.Purpose     what it is for, in words of the language: "logging in", to follow "for";
//	             "zum Anmelden", "pour vous connecter"; empty for usages of yours
//	.Binding     the transaction that it confirms, or empty
//	.App         Config.App
//
// and one of HTML also .Subject, .Paragraphs (of the text; one of them is the code), .Lang
// and .Dir ("ltr" or "rtl"). Empty lines that follow another are removed, so a line that
// may be empty needs no care. The default HTML makes the first paragraph its heading and
// shows a paragraph large that is nothing but the code: put that between empty lines.
//
// # What holds whatever a template says
//
// The code stands in every text, whole. Of all that a person may have typed, only
// .Binding reaches a template, and it has no line breaks, control, invisible or direction
// characters; text of both directions does not turn around what stands next to it. In
// HTML it is escaped. What confirms a payment ([otp.Payment]) shows its binding.
//
// The last line of an SMS is "@host #code", from which browsers and phones fill the code
// into pages of that host and no other, and nothing else in the message can be taken for
// such a line (https://wicg.github.io/sms-one-time-codes/).
//
// # Several hosts
//
// A Renderer has one host and one name. If tenants have their own, make one for each:
//
//	Render: func(ctx context.Context, m otp.Message) (otp.Content, error) {
//		return renderers[m.Tenant].Render(ctx, m)
//	}
package message
