// Package otphttp is what a [net/http] handler needs around package otp: a response for
// each error, a cookie for the handle, and the address of the client behind proxies. It
// has no router, no sessions and no pages; a login takes two handlers:
//
//	func (a *app) send(w http.ResponseWriter, r *http.Request) {
//		user, found := a.users.byPhone(r.FormValue("phone"))
//		ch, err := a.otp.Request(r.Context(), otp.Request{
//			Usage: "login", Channel: otp.SMS, To: r.FormValue("phone"), Subject: user.ID,
//			Client: otphttp.ClientAddr(r, a.proxies), Conceal: true, Decoy: !found,
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
// Put [http.CrossOriginProtection] in front of both: a foreign page that can post to
// them can log its visitors in as somebody else. The program examples/weblogin is a
// whole login with pages.
package otphttp
