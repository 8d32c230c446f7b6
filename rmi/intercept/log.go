package intercept

import (
	"context"
	"log/slog"
	"time"

	"gormi/rmi/fault"
)

// AccessLog writes a record for each call when it is over: at the level Info, or Warn if it
// failed. It has the message "rmi call" and these attributes:
//
//	side        "object" or "caller"
//	interface, method, object
//	principal, address, node   of the peer
//	took
//	kind, outcome, error       only of a call that failed
//
// Arguments, results and metadata are not logged. If logger is nil, it is slog.Default().
// Texts that the peer wrote are quoted by the handlers of log/slog.
func AccessLog(logger *slog.Logger) Interceptor {
	return func(ctx context.Context, call *Call, next Handler) (err error) {
		begin := time.Now()
		over := false
		defer func() { // of a panic too
			log(ctx, logger, call, time.Since(begin), err, !over)
		}()
		err = next(ctx)
		over = true
		return err
	}
}

func log(ctx context.Context, logger *slog.Logger, call *Call, took time.Duration, err error, panicked bool) {
	if logger == nil {
		logger = slog.Default()
	}
	level, side := slog.LevelInfo, "caller"
	if err != nil || panicked {
		level = slog.LevelWarn
	}
	if call.Incoming {
		side = "object"
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	peer := call.Peer()
	all := []slog.Attr{slog.String("side", side), slog.String("interface", call.Interface), slog.String("method", call.Method),
		slog.String("object", call.Object.String()), slog.String("principal", peer.Principal), slog.String("address", peer.Address),
		slog.String("node", peer.Node.String()), slog.Duration("took", took)}
	switch {
	case err != nil:
		all = append(all, slog.String("kind", fault.KindOf(err).String()), slog.String("outcome", fault.OutcomeOf(err).String()), slog.String("error", err.Error()))
	case panicked:
		all = append(all, slog.String("kind", fault.KindPanic.String()))
	}
	logger.LogAttrs(ctx, level, "rmi call", all...)
}
