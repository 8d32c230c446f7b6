package intercept

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"gormi/rmi/fault"
	"gormi/rmi/metadata"
)

const (
	// TokenKey is the metadata key of bearer tokens. The value is "Bearer TOKEN".
	TokenKey = "authorization"
	bearer   = "Bearer "
)

// SendToken has calls carry a bearer token, for CheckToken. It is for rmi.Options.Interceptors.
// Whoever is called gets the token: every object, and every registry. An interceptor that looks
// at call.Object or call.Interface before it calls this one can restrict that. Relays see it, and
// without TLS everybody on the way.
func SendToken(token string) Interceptor {
	return func(ctx context.Context, call *Call, next Handler) error {
		return next(metadata.With(ctx, TokenKey, bearer+token))
	}
}

// CheckToken refuses calls that carry none of these bearer tokens, with kind Denied. It is for
// rmi.ExportOptions.Interceptors. The time that it takes does not tell how much of a token is
// right. An empty token is nobody's. Without tokens it refuses every call.
func CheckToken(tokens ...string) Interceptor {
	var sums [][sha256.Size]byte
	for _, t := range tokens {
		if t != "" {
			sums = append(sums, sha256.Sum256([]byte(t)))
		}
	}
	return func(ctx context.Context, call *Call, next Handler) error {
		value, ok := metadata.Get(ctx, TokenKey)
		if !ok {
			return Refuse(fault.KindDenied, "the call carries no bearer token: the caller sets Options.Interceptors to an intercept.SendToken")
		}
		token, ok := strings.CutPrefix(value, bearer)
		got, equal := sha256.Sum256([]byte(token)), 0
		for _, sum := range sums { // all of them, whichever is right
			equal |= subtle.ConstantTimeCompare(sum[:], got[:])
		}
		if !ok || equal != 1 {
			return Refuse(fault.KindDenied, "the call's bearer token is not one that the object accepts")
		}
		return next(ctx)
	}
}
