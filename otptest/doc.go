// Package otptest is for the tests of applications that use package otp: a service in
// memory, with a clock that the test moves and an [Outbox] in place of providers.
//
//	svc, outbox, clock := otptest.NewService(t)
//	app := newApp(svc)
//	…                                   // the app asks for one
//	code := outbox.Code("+12025550100") // what the phone shows
//	clock.Advance(6 * time.Minute)      // and the code has expired
//
// The service is a real one: its limits hold, so a second message to the same recipient
// has to wait until the clock was advanced by 30 seconds. For end-to-end tests that log
// in the same person again and again, see [TestNumbers]. An app whose requests ask to
// Conceal needs queues; see [Queued].
package otptest
