package message

import (
	"strconv"
	"strings"
	"time"

	"otp.example/otp"
)

// fallbacks returns the tags under which a locale is looked up, the most specific first
// (RFC 4647 section 3.4). It takes no notice of case and reads '_' as '-'.
func fallbacks(locale string) []string {
	var tags []string
	for tag := canonicalTag(locale); tag != ""; {
		tags = append(tags, tag)
		tag = tag[:max(0, strings.LastIndexByte(tag, '-'))]
	}
	return tags
}

func canonicalTag(tag string) string {
	const longest = 35 // RFC 5646 section 4.4.1
	if len(tag) > longest {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(tag), "_", "-")
}

// direction is how a language is written, by its script if the tag has one.
func direction(lang string) string {
	parts := strings.Split(lang, "-")
	for _, p := range parts[1:] {
		switch p {
		case "arab", "aran", "hebr", "thaa", "syrc", "nkoo", "adlm", "rohg":
			return "rtl"
		case "latn", "cyrl", "deva":
			return "ltr"
		}
	}
	switch parts[0] {
	case "ar", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi":
		return "rtl"
	}
	return "ltr"
}

// A unit has a word for each form that a number takes. '#' is where the number goes.
type unit []string

// A language has the words that go into sentences. The sentences are templates.
type language struct {
	form                    func(n int) int // which of a unit's words goes with n, from 1 up
	seconds, minutes, hours unit
	purposes                map[otp.Usage]string
}

// singular has one word for 1 and one for all else, invariable one for all, and arabic
// those of the Unicode CLDR: one, two, few (3 to 10) and many.
func singular(n int) int {
	if n == 1 {
		return 0
	}
	return 1
}

func invariable(int) int { return 0 }

func arabic(n int) int {
	switch {
	case n <= 2:
		return n - 1
	case n%100 >= 3 && n%100 <= 10:
		return 2
	}
	return 3
}

// purpose says what a usage is for, or nothing if that has no words in lang.
func purpose(lang string, u otp.Usage) string {
	return find(lang).purposes[u]
}

// lifetime is rounded down, so that nobody is promised more time than there is.
func lifetime(lang string, d time.Duration) string {
	l := find(lang)
	words, n := l.hours, int(d/time.Hour)
	switch {
	case d < time.Minute:
		words, n = l.seconds, int(d/time.Second)
	case d < 2*time.Hour:
		words, n = l.minutes, int(d/time.Minute)
	}
	return strings.Replace(words[l.form(max(1, n))], "#", strconv.Itoa(n), 1)
}

// find returns the words of the language of a tag. Those that are read everywhere are
// for languages that only the templates know.
func find(lang string) language {
	for _, tag := range fallbacks(lang) {
		if l, ok := languages[tag]; ok {
			return l
		}
	}
	return language{form: invariable, seconds: unit{"# s"}, minutes: unit{"# min"}, hours: unit{"# h"}}
}

// Usages that are not otp's own are those that most programs name so.
const (
	login         otp.Usage = "login"
	signup        otp.Usage = "signup"
	passwordReset otp.Usage = "password_reset"
)

var languages = map[string]language{
	"en": {
		form:    singular,
		seconds: unit{"# second", "# seconds"},
		minutes: unit{"# minute", "# minutes"},
		hours:   unit{"# hour", "# hours"},
		purposes: map[otp.Usage]string{
			login:              "logging in",
			signup:             "signing up",
			passwordReset:      "resetting your password",
			otp.Recovery:       "recovering your account",
			otp.Payment:        "a payment",
			otp.ConfirmAddress: "confirming this address",
		},
	},
	"de": {
		form:    singular,
		seconds: unit{"# Sekunde", "# Sekunden"},
		minutes: unit{"# Minute", "# Minuten"},
		hours:   unit{"# Stunde", "# Stunden"},
		purposes: map[otp.Usage]string{
			login:              "zum Anmelden",
			signup:             "zum Registrieren",
			passwordReset:      "zum Zurücksetzen Ihres Passworts",
			otp.Recovery:       "zum Wiederherstellen Ihres Kontos",
			otp.Payment:        "für eine Zahlung",
			otp.ConfirmAddress: "zum Bestätigen dieser Adresse",
		},
	},
	"fr": {
		form:    singular,
		seconds: unit{"# seconde", "# secondes"},
		minutes: unit{"# minute", "# minutes"},
		hours:   unit{"# heure", "# heures"},
		purposes: map[otp.Usage]string{
			login:              "pour vous connecter",
			signup:             "d'inscription",
			passwordReset:      "pour réinitialiser votre mot de passe",
			otp.Recovery:       "pour récupérer votre compte",
			otp.Payment:        "de paiement",
			otp.ConfirmAddress: "pour confirmer cette adresse",
		},
	},
	"es": {
		form:    singular,
		seconds: unit{"# segundo", "# segundos"},
		minutes: unit{"# minuto", "# minutos"},
		hours:   unit{"# hora", "# horas"},
		purposes: map[otp.Usage]string{
			login:              "de acceso",
			signup:             "de registro",
			passwordReset:      "para restablecer su contraseña",
			otp.Recovery:       "para recuperar su cuenta",
			otp.Payment:        "para un pago",
			otp.ConfirmAddress: "para confirmar esta dirección",
		},
	},
	"pt": {
		form:    singular,
		seconds: unit{"# segundo", "# segundos"},
		minutes: unit{"# minuto", "# minutos"},
		hours:   unit{"# hora", "# horas"},
		purposes: map[otp.Usage]string{
			login:              "de acesso",
			signup:             "de cadastro",
			passwordReset:      "para redefinir sua senha",
			otp.Recovery:       "para recuperar sua conta",
			otp.Payment:        "para um pagamento",
			otp.ConfirmAddress: "para confirmar este endereço",
		},
	},
	"ar": {
		form:    arabic,
		seconds: unit{"ثانية واحدة", "ثانيتين", "# ثوانٍ", "# ثانية"},
		minutes: unit{"دقيقة واحدة", "دقيقتين", "# دقائق", "# دقيقة"},
		hours:   unit{"ساعة واحدة", "ساعتين", "# ساعات", "# ساعة"},
		purposes: map[otp.Usage]string{
			login:              "لتسجيل الدخول",
			signup:             "لإنشاء حساب",
			passwordReset:      "لإعادة تعيين كلمة المرور",
			otp.Recovery:       "لاستعادة حسابك",
			otp.Payment:        "لعملية دفع",
			otp.ConfirmAddress: "لتأكيد هذا العنوان",
		},
	},
	"hi": {
		form:    invariable,
		seconds: unit{"# सेकंड"},
		minutes: unit{"# मिनट"},
		hours:   unit{"# घंटे"}, // what follows it, तक, leaves one form
		purposes: map[otp.Usage]string{
			login:              "लॉग इन के लिए",
			signup:             "खाता बनाने के लिए",
			passwordReset:      "पासवर्ड रीसेट करने के लिए",
			otp.Recovery:       "खाता वापस पाने के लिए",
			otp.Payment:        "भुगतान के लिए",
			otp.ConfirmAddress: "इस पते की पुष्टि के लिए",
		},
	},
	"zh": {
		form:    invariable,
		seconds: unit{"#秒"},
		minutes: unit{"#分钟"},
		hours:   unit{"#小时"},
		purposes: map[otp.Usage]string{
			login:              "用于登录",
			signup:             "用于注册",
			passwordReset:      "用于重置密码",
			otp.Recovery:       "用于找回账号",
			otp.Payment:        "用于付款",
			otp.ConfirmAddress: "用于确认此地址",
		},
	},
}
