// Package aws sends codes with the services of AWS: text messages and calls with End User
// Messaging ([NewSMS], [NewVoice]), text messages with SNS ([NewSNS]) and e-mail with SES
// ([NewSES]). It is a module of its own, since it needs the SDK of AWS.
//
//	cfg, err := config.LoadDefaultConfig(ctx) // github.com/aws/aws-sdk-go-v2/config
//	…
//	sms, err := aws.NewSMS(aws.SMSConfig{AWS: cfg, From: "pool-0123456789abcdef"})
//
// # Before the first message
//
// Where credentials come from is what the SDK's config package is about: on AWS the role
// of the machine, elsewhere the environment or a profile. The role needs one permission:
// sms-voice:SendTextMessage, sms-voice:SendVoiceMessage, sns:Publish or ses:SendEmail. New
// accounts are in a sandbox, for each service and region: they reach verified recipients
// only, until AWS is asked to change it. Origination numbers and sender IDs are had from
// the console of End User Messaging, and most countries want them registered; SES wants
// the domain of From verified, with the DKIM records that it names.
//
// # What mistakes cost
//
// AWS charges for every text, for each of its parts, wherever it goes. Without a monthly
// limit on spending (set for the account, in the console), a MaxPrice and a Guard that
// knows which countries customers live in, one night of toll fraud costs more than a year
// of codes. [NewSNS] needs less to be set up than [NewSMS] and is told less: its messages
// live until the network gives up, while those of [NewSMS] are dropped when the code has
// expired.
//
// # Repeats
//
// None of these calls has an idempotency key. So the SDK's own retries are off here: after
// an answer that was lost it would send, and charge, twice. What was certainly not taken
// otp.Queue tries again, and sender.Retry what is marked for later.
//
// Errors mean:
//
//   - throttled (429, and the codes for it): [sender.ErrTryLater];
//   - the recipient has asked AWS for no more messages from this account:
//     [otp.ErrUndeliverable], since whoever opted out must be left alone;
//   - any other 4xx, and whatever kept the request from being sent: [otp.ErrNotAccepted];
//   - 5xx, a broken answer, no answer: none of these, since the message may be on its way.
//
// Errors hold codes and reasons that the SDK knows, and nothing else that AWS said.
//
// HTTPClient, Retryer, RetryMaxAttempts and ClientLogMode of the SDK's Config are not
// used: connections are direct, follow no redirects, go over https (http to this machine
// only), and nothing is logged. The region, the credentials, the endpoint and the options
// of the API are.
package aws
