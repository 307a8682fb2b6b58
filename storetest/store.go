package storetest

import "otp.example/otp"

var storeCases = []clause[otp.Store]{
	{"SpendOnce", "of any number of concurrent Spends with a right digest, exactly one verifies", spendOnce},
	{"OwnOutcome", "the record returned shows this call's outcome, never a concurrent one's, and after a refusal it says why", ownOutcome},
	{"AttemptsBound", "at most MaxAttempts Spends are applied, and each counts one attempt, the right one too", attemptsBound},
	{"ExpiryIsExclusive", "a record is live until just before ExpiresAt, and not at ExpiresAt itself", expiryIsExclusive},
	{"PutKeepsLive", "a live record is never overwritten; a dead one is", putKeepsLive},
	{"ReissueBound", "there are at most MaxSends sends, and Reissue keeps Attempts and ExpiresAt", reissueBound},
	{"ReissueKeeps", "after a Reissue the newest live codes work, and older ones do not", reissueKeeps},
	{"CancelVsSpend", "of Cancel and a right Spend, exactly one is applied", cancelVsSpend},
	{"CanceledContext", "a call whose context is done changes nothing and returns an error", canceledContext},
	{"RoundTrip", "every field of a record survives, times to the microsecond and in UTC", roundTrip},
	{"NoClock", "the result depends on the now argument alone, whatever any clock says and wherever now was before", noClock},
	{"Durable", "an applied change survives whatever the record survives, and no record is forgotten before ExpiresAt", durable},
	{"UnknownID", "for an ID that the store does not hold, the error is otp.ErrNotFound", unknownID},
	{"BytewiseIDs", "IDs that differ in any byte, case and trailing spaces included, name different records, up to 128 bytes", bytewiseIDs},
	{"NoAliasing", "the store does not keep or change the slices that it is given, and the caller may change those that it returns", noAliasing},
}
