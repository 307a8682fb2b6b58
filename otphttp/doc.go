// Package otphttp is what a [net/http] handler needs around package otp: a response for
// each error, a cookie for the handle, and the address of the client behind proxies. It
// has no router, no sessions and no pages; a login takes two handlers:
//
//	func (a *app) send(w http.ResponseWriter, r *http.Request) {
//		user, found := a.users.byPhone(r.FormValue("phone"))
//		ch, err := a.otp.Request(r.Context(), otp.Request{
//			Usage: "login", Channel: otp.SMS, To: r.FormValue("phone"), Subject: user.ID,
//			Client: otphttp.ClientAddr(r, a.proxies), Conceal: true, Decoy: !found,
//			IdempotencyKey: r.FormValue("form"), // a hidden field, see below
//		})
//		if err != nil {
//			otphttp.Error(w, err)
//			return
//		}
//		otphttp.SetHandle(w, ch)
//	}
//
//	func (a *app) verify(w http.ResponseWriter, r *http.Request) {
//		proof, err := a.otp.Verify(r.Context(), otp.Answer{
//			ID: otphttp.Handle(r), Code: r.FormValue("code"), Usage: "login",
//		})
//		if err != nil {
//			otphttp.Error(w, err)
//			return
//		}
//		otphttp.ClearHandle(w)
//		a.sessions.start(w, proof.Subject())
//	}
//
// The page gives the form a hidden field with a new [crypto/rand.Text] each time it is
// shown. With that as IdempotencyKey a second click is the same challenge. Without it the
// second click locks the person out: the limits let nothing more be sent, which Conceal
// does not tell, and the cookie then has the handle of a challenge without a code, so the
// code that did arrive is rejected. A field that is longer than 256 bytes or not UTF-8 is
// answered 400; with another recipient it makes another challenge.
//
// Put [http.CrossOriginProtection] in front of both: a foreign page that can post to
// them can log its visitors in as somebody else. The program examples/weblogin is a
// whole login with pages.
package otphttp
