package intercept

import (
	"container/list"
	"context"
	"net"
	"sync"

	"golang.org/x/time/rate"

	"gormi/rmi/fault"
)

// anonymous is the principal of a peer that has none.
const anonymous = "anonymous"

// mostPeers is how many peers a RateLimit knows at once.
const mostPeers = 4096

// RateLimit lets each peer make so many calls a second, and burst of them at once. Others are
// refused with kind Overloaded, which callers try again by themselves until their deadline, with
// growing pauses.
//
// A peer is its principal, or else the host of its address, or else its node. So the nodes of
// one principal share, and so do anonymous ones of one machine. All objects that are exported
// with the same RateLimit share it. It remembers the 4096 peers that called last.
func RateLimit(perSecond float64, burst int) Interceptor {
	l := &limiters{limit: rate.Limit(perSecond), burst: burst, byPeer: make(map[string]*list.Element)}
	return func(ctx context.Context, call *Call, next Handler) error {
		if who := nameOf(call.Peer()); !l.of(who).Allow() {
			return Refuse(fault.KindOverloaded, "%q makes more than %v calls a second (the RateLimit in the ExportOptions.Interceptors)", who, perSecond)
		}
		return next(ctx)
	}
}

// nameOf tells peers apart.
func nameOf(p Peer) string {
	switch host, _, err := net.SplitHostPort(p.Address); {
	case p.Principal != "" && p.Principal != anonymous:
		return p.Principal
	case err == nil:
		return host
	}
	return p.Node.String()
}

// limiters are those of the peers that called last.
type limiters struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex // guards the fields below
	byPeer map[string]*list.Element
	recent list.List // of *limiter: who called last is in front
}

type limiter struct {
	peer string
	*rate.Limiter
}

// of returns the limiter of a peer.
func (l *limiters) of(peer string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byPeer[peer]; e != nil {
		l.recent.MoveToFront(e)
		return e.Value.(*limiter).Limiter
	}
	if len(l.byPeer) >= mostPeers {
		oldest := l.recent.Back()
		delete(l.byPeer, l.recent.Remove(oldest).(*limiter).peer)
	}
	x := &limiter{peer, rate.NewLimiter(l.limit, l.burst)}
	l.byPeer[peer] = l.recent.PushFront(x)
	return x.Limiter
}
