package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	texting "github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"otp.example/otp"
	"otp.example/otp/sender"
)

// throttled are the codes for "not now".
var throttled = []string{"Throttled", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}

// known are the codes that errors may show: what a server makes up could hold anything.
var known = append([]string{
	// End User Messaging
	"AccessDeniedException", "ConflictException", "InternalServerException", "ResourceNotFoundException",
	"ServiceQuotaExceededException", "ValidationException",
	// SNS
	"AuthorizationError", "InternalError", "InvalidParameter", "ParameterValueInvalid", "InvalidSecurity", "NotFound", "OptedOut",
	// SES
	"AccountSuspendedException", "BadRequestException", "LimitExceededException", "MailFromDomainNotVerifiedException", "MessageRejected",
	"NotFoundException", "SendingPausedException",
	// common
	"AccessDenied", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InternalFailure", "InvalidClientTokenId",
	"InvalidSignatureException", "MissingAuthenticationToken", "OptInRequired", "RequestExpired", "ServiceUnavailable", "SignatureDoesNotMatch",
	"UnrecognizedClientException",
}, throttled...)

// outcome says what err means to who asked for the message.
func outcome(ctx context.Context, err error, connected bool) error {
	if res, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && res.HTTPStatusCode() != 0 {
		return judge(res.HTTPStatusCode(), err)
	}
	switch {
	case connected && ctx.Err() != nil:
		return fmt.Errorf("no answer: %w", ctx.Err())
	case connected:
		return errors.New("the connection broke")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no connection: %w: %w", ctx.Err(), sender.ErrTryLater)
	case ctx.Err() != nil: // by whoever wants no more of it
		return fmt.Errorf("no connection: %w: %w", ctx.Err(), otp.ErrNotAccepted)
	case errors.Is(err, errNotHTTPS):
		return fmt.Errorf("%w: %w", errNotHTTPS, otp.ErrNotAccepted)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("no connection: %w: %w", op, sender.ErrTryLater)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("no connection: %w: %w", dns, sender.ErrTryLater)
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return fmt.Errorf("no connection, or none that is trusted: %w", otp.ErrNotAccepted)
	}
	// What a provider of credentials says is not for everybody's eyes.
	return fmt.Errorf("no request, for lack of credentials or of a valid setting: %w", otp.ErrNotAccepted)
}

// judge says what an answer means.
func judge(status int, err error) error {
	said, code := fmt.Sprintf("HTTP %d", status), ""
	if api, ok := errors.AsType[smithy.APIError](err); ok && slices.Contains(known, api.ErrorCode()) {
		code = api.ErrorCode()
		said += ", code " + code
	}
	why := reason(err)
	if why != "" {
		said += ", reason " + why
	}
	switch {
	case status == http.StatusTooManyRequests || slices.Contains(throttled, code):
		return fmt.Errorf("%s: %w", said, sender.ErrTryLater)
	case status/100 == 2:
		return fmt.Errorf("%s with an answer that cannot be read", said)
	case status/100 != 4:
		return errors.New(said)
	case code == "OptedOut" || why == string(texting.ConflictExceptionReasonDestinationPhoneNumberOptedOut):
		return fmt.Errorf("%s: %w", said, otp.ErrUndeliverable)
	case code == "" && (status == http.StatusRequestTimeout || status == http.StatusConflict):
		return errors.New(said) // a proxy's, which may have passed the request on
	}
	return fmt.Errorf("%s: %w", said, otp.ErrNotAccepted)
}

// reason is the one that End User Messaging gives, if the SDK knows it.
func reason(err error) string {
	if e, ok := errors.AsType[*texting.ConflictException](err); ok {
		return oneOf(e.Reason, e.Reason.Values())
	}
	if e, ok := errors.AsType[*texting.ValidationException](err); ok {
		return oneOf(e.Reason, e.Reason.Values())
	}
	if e, ok := errors.AsType[*texting.ServiceQuotaExceededException](err); ok {
		return oneOf(e.Reason, e.Reason.Values())
	}
	if e, ok := errors.AsType[*texting.AccessDeniedException](err); ok {
		return oneOf(e.Reason, e.Reason.Values())
	}
	return ""
}

func oneOf[S ~string](s S, all []S) string {
	if slices.Contains(all, s) {
		return string(s)
	}
	return ""
}
