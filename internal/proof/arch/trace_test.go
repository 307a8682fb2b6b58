package arch_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// requirements are what the library is held to. A test names in a comment what it
// proves.
var requirements = []struct{ id, text string }{
	{"S-01", "codes, salts, handles and seeds come from crypto/rand; without it there is no code"},
	{"S-02", "codes are uniform over their whole space, leading zeros included"},
	{"S-03", "a configuration with fewer than 10^6 codes is refused"},
	{"S-04", "a code does not depend on time, subject or earlier codes"},
	{"S-05", "letter codes have one canonical form, and that is what is hashed"},
	{"S-06", "the guess mass of a challenge, a day, a month and a streak is bounded for every sequence of calls"},
	{"S-07", "guess mass is charged per tenant, subject and factor class, across everything else"},
	{"S-08", "no new code, resend, expiry or restart gives guess mass back"},
	{"S-09", "success gives back only the reservation of its own handle, and ends the streak"},
	{"S-10", "codes get longer before anybody is refused"},
	{"S-11", "a tenant's ledger lengthens codes before many accounts are tried at once"},
	{"S-12", "codes that stay valid together are counted together"},
	{"S-13", "no code, seed or recovery code reaches a store or a queue in clear"},
	{"S-14", "digests are keyed from outside the store and salted; weak keys refuse to start"},
	{"S-15", "the digest is bound to everything that the challenge is about"},
	{"S-16", "the encoding under the digest is injective"},
	{"S-17", "write access to the store makes no accepting record"},
	{"S-18", "keys of different purposes are separated by frozen labels"},
	{"S-19", "rotation rejects no live code; an unknown key denies"},
	{"S-20", "comparisons take constant time over all candidates"},
	{"S-21", "recovery codes that could be searched are kept under a slow salted hash, one for each try"},
	{"S-22", "a code is accepted once, across goroutines, processes, restarts and crashes"},
	{"S-23", "a handle is compared at most its number of attempts"},
	{"S-24", "an attempt is counted before its outcome is known to anybody"},
	{"S-25", "one primitive writes attempts and use"},
	{"S-26", "an ambiguous answer of the store is a no, and the attempt is spent"},
	{"S-27", "a store proves its durability or the loss is accepted by name"},
	{"S-29", "what decides is read inside the step that consumes"},
	{"S-30", "no result is cached"},
	{"S-31", "a hook that panics neither gives a code back nor turns no into yes"},
	{"S-32", "lifetimes are capped, and a resend does not extend them"},
	{"S-33", "a code is valid before its expiry and invalid at it, without a sweeper"},
	{"S-35", "processes whose clocks differ agree on single use, and on expiry within the difference"},
	{"S-36", "without the handle nobody spends attempts or replaces a code"},
	{"S-38", "a first factor is delayed or lengthened, never locked for good"},
	{"S-39", "the counters of different factors are independent"},
	{"S-40", "while refused, a right code is not consumed and looks like a wrong one"},
	{"S-41", "thresholds are told once"},
	{"S-42", "a resend waits, and the wait is charged before the provider is called"},
	{"S-43", "limits exist per recipient, subject, client, prefix and tenant, and each trips alone"},
	{"S-44", "what reaches the same person is counted under the same key"},
	{"S-46", "calls and texts go to allowed countries' ordinary numbers only"},
	{"S-49", "limiter keys are pseudonyms, and their number is bounded"},
	{"S-50", "limits count operations, not HTTP requests"},
	{"S-51", "known, unknown and limited subjects get the same answer"},
	{"S-52", "the time of an answer tells neither subject nor provider"},
	{"S-53", "decoys are limited alike and cost the same store operations"},
	{"S-54", "the vectors of RFC 4226 and RFC 6238 pass, with 64-bit counters"},
	{"S-55", "the matched step is used up, strictly increasing; so is the code that confirms"},
	{"S-56", "typed codes are digits after documented separators; replay is judged by step"},
	{"S-57", "the window is small, the future is not in it, drift is learned slowly and never far"},
	{"S-58", "parameters of a secret are bounded, sealed with it, and no secret is there twice"},
	{"S-59", "seeds are sealed for one person and factor; rotation seals them anew"},
	{"S-60", "a seed is shown once, and what is pending replaces nothing"},
	{"S-61", "key URIs come back as they went in; names cannot inject"},
	{"S-62", "a used code is told as such"},
	{"S-63", "the time is the server's"},
	{"S-64", "an HOTP counter only grows, within the look-ahead"},
	{"S-65", "resynchronization takes two codes in a row, is bounded and is a guess"},
	{"S-66", "how many guesses disable a credential is computed"},
	{"S-67", "a recovery code is accepted once, of its owner"},
	{"S-68", "a set of recovery codes is replaced as a whole"},
	{"S-69", "typos of recovery codes are found before they count"},
	{"S-70", "a code for a transaction verifies with that transaction only"},
	{"S-71", "usages, channels and tenants never accept each other's codes"},
	{"S-72", "success is a proof that applications cannot make and that is redeemed once"},
	{"S-73", "a second factor asks for a first of the same subject"},
	{"S-74", "changing credentials takes a fresh proof"},
	{"S-75", "tenants never touch each other's state"},
	{"S-76", "with fail-over and retries the newest message works"},
	{"S-77", "codes that wait for delivery are in memory or sealed"},
	{"S-78", "provider calls end, are bounded and leak nothing"},
	{"S-79", "a mail has one recipient and one header"},
	{"S-80", "messages show the right code, lifetime and data; nothing from outside forges them or their last line"},
	{"S-81", "webhooks reach public addresses only, are signed, and cannot be replayed"},
	{"S-82", "no code leaves by SMTP without verified TLS"},
	{"S-83", "no secret and no whole recipient is ever formatted"},
	{"S-84", "every change is told as one event"},
	{"S-85", "hostile text cannot forge log lines"},
	{"S-86", "recipients are made canonical once, before anything else"},
	{"S-87", "memory is bounded and no live limit is evicted; inputs are measured before work is done"},
	{"S-89", "the library imports the standard library and x/crypto; zero values deny"},
}

var requirementID = regexp.MustCompile(`\bS-\d\d\b`)

// proofs returns, for each requirement, the places of the comments that name it.
func proofs(sources []source) map[string][]string {
	places := map[string][]string{}
	for _, s := range sources {
		// The cases of the conformance suite are importable, but they are tests.
		if !s.isTest() && s.dir() != "storetest" {
			continue
		}
		for _, group := range s.file.Comments {
			for _, id := range requirementID.FindAllString(group.Text(), -1) {
				place := strings.TrimSpace(s.path + " " + s.function(group))
				if !slices.Contains(places[id], place) {
					places[id] = append(places[id], place)
				}
			}
		}
	}
	return places
}

// TestEveryRequirementIsProved prints the table of requirements and their tests
// when it is run with -v.
func TestEveryRequirementIsProved(t *testing.T) {
	places := proofs(repository(t))
	var missing []string
	for _, r := range requirements {
		if len(places[r.id]) == 0 {
			missing = append(missing, r.id+" "+r.text)
		}
		if testing.Verbose() {
			t.Logf("%s %s\n\t%s", r.id, r.text, strings.Join(places[r.id], "\n\t"))
		}
	}
	if len(missing) > 0 {
		t.Errorf("no test names\n\t%s", strings.Join(missing, "\n\t"))
	}
}

func TestProofsFindsComments(t *testing.T) {
	tests := []struct{ name, path, text, want string }{
		{"doc comment", "a_test.go", "package a\n\n// TestA: S-99.\nfunc TestA() {}", "a_test.go TestA"},
		{"inside", "a_test.go", "package a\n\nfunc TestA() {\n\t// S-99 FM-06\n}", "a_test.go TestA"},
		{"file", "a_test.go", "// S-99\npackage a", "a_test.go"},
		{"conformance case", "storetest/a.go", "package a // S-99", "storetest/a.go"},
		{"string", "a_test.go", "package a\n\nconst a = `S-99`", ""},
		{"library", "a.go", "package a // S-99", ""},
		{"longer number", "a_test.go", "package a // S-999", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.path, test.text)
			if assert.NoError(t, err) {
				assert.Equal(t, test.want, strings.Join(proofs([]source{s})["S-99"], " "))
			}
		})
	}
}
