package transport

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/callmeta"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// callContext is the context of a call being served. It ends when the method returns, at the
// call's deadline, when the caller cancels, and with the session. Its channel and its timer are
// made when they are first needed. So a method that does not use its context does not pay for
// it. A servant may keep it, so it is never reused.
type callContext struct {
	session  *Session
	chain    wire.ChainID
	depth    uint8
	relayed  bool
	nested   atomic.Int32 // calls under way that the method made and waits for; see Turn
	deadline time.Time
	metadata atomic.Pointer[callMetadata] // nil: none came, and none goes back

	mu guard.Mutex[lockedContext]
}

// lockedContext is the state of a callContext.
type lockedContext struct {
	done  chan struct{} // nil until asked for
	timer *time.Timer
	err   error     // ErrReturned: the method has returned
	after []*func() // see AfterFunc
}

// callMetadata is that of a call and of its reply. It is immutable.
type callMetadata struct {
	came     wire.Metadata
	back     []wire.MetadataPair // what the method gives the reply
	encoded  wire.Metadata       // the same
	answered bool
}

// answeredBare is the metadata of calls that came without, and were answered.
var answeredBare = &callMetadata{answered: true}

// ErrReturned is the cause (context.Cause) of the context of a method that has returned.
var ErrReturned = fmt.Errorf("the method that the context was given to has returned: what goes on after that needs a context of its own, as context.WithoutCancel makes one: %w", context.Canceled)

// returned is an ended context whose cause is ErrReturned.
var returned = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrReturned)
	return ctx
}()

var (
	_ context.Context = (*callContext)(nil)
	_ callmeta.Served = (*callContext)(nil)
)

type callKey struct{}

// ChainOf returns the chain of the call that ctx belongs to, and that call's depth. ok is false
// in a context that no remote call made.
func ChainOf(ctx context.Context) (chain wire.ChainID, depth uint8, ok bool) {
	c, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return chain, 0, false
	}
	return c.chain, c.depth, true
}

// SessionOf returns the session on which the call that ctx belongs to arrived, or nil.
func SessionOf(ctx context.Context) *Session {
	if c, ok := ctx.Value(callKey{}).(*callContext); ok {
		return c.session
	}
	return nil
}

// Relayed reports whether the call that ctx belongs to came through a relay. Then its session
// is with the relay.
func Relayed(ctx context.Context) bool {
	c, ok := ctx.Value(callKey{}).(*callContext)
	return ok && c.relayed
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *callContext) Value(key any) any {
	switch key.(type) {
	case callKey, callmeta.ServedKey:
		return c
	case callmeta.SentKey:
		return nil
	}
	left := c.mu.Lock().err == ErrReturned
	c.mu.Unlock()
	if left {
		return returned.Value(key) // context.Cause asks for a key of its own: returned has the answer
	}
	return nil
}

// Metadata implements callmeta.Served.
func (c *callContext) Metadata() wire.Metadata {
	if m := c.metadata.Load(); m != nil {
		return m.came
	}
	return ""
}

// SetReplyMetadata implements callmeta.Served.
func (c *callContext) SetReplyMetadata(key, value string) error {
	for {
		old, next := c.metadata.Load(), new(callMetadata)
		switch {
		case old == nil:
		case old.answered:
			return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the call was answered already")
		default:
			next.came = old.came
			next.back = slices.DeleteFunc(slices.Clone(old.back), func(p wire.MetadataPair) bool { return p.Key == key })
		}
		next.back = append(next.back, wire.MetadataPair{Key: key, Value: value})
		var err error
		if next.encoded, err = wire.NewMetadata(next.back); err != nil {
			return err
		}
		if c.metadata.CompareAndSwap(old, next) {
			return nil
		}
	}
}

// takeReplyMetadata returns what goes with the reply. Nothing is added any more.
func (c *callContext) takeReplyMetadata() wire.Metadata {
	for {
		old, next := c.metadata.Load(), answeredBare
		if old != nil && old.came != "" {
			next = &callMetadata{came: old.came, answered: true}
		}
		if c.metadata.CompareAndSwap(old, next) {
			if old == nil {
				return ""
			}
			return old.encoded
		}
	}
}

func (c *callContext) String() string { return "rmi call context" }

func (c *callContext) Done() <-chan struct{} {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.done == nil {
		st.done = make(chan struct{})
		if st.err != nil {
			close(st.done)
		} else {
			st.timer = time.AfterFunc(time.Until(c.deadline), func() { c.cancel(context.DeadlineExceeded) })
		}
	}
	return st.done
}

func (c *callContext) Err() error {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.err == nil && !time.Now().Before(c.deadline) {
		st.end(context.DeadlineExceeded)
	}
	if st.err == ErrReturned {
		return context.Canceled
	}
	return st.err
}

// ended is why the context has ended, unless only the clock says so.
func (c *callContext) ended() error {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	return st.err
}

// AfterFunc arranges for f to be called in its own goroutine when the context ends. Package
// context uses it to derive contexts without a goroutine for each.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.Done() // a deadline must come even if nobody waits for it
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.err != nil {
		go f()
		return func() bool { return false }
	}
	p := &f
	st.after = append(st.after, p)
	return func() bool {
		st := c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(st.after, p)
		if i < 0 {
			return false
		}
		st.after = slices.Delete(st.after, i, i+1)
		return true
	}
}

func (c *callContext) cancel(err error) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.err == nil {
		st.end(err)
	}
}

// leave ends the context of a method that has returned.
func (c *callContext) leave() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.err == nil {
		st.end(ErrReturned)
	}
}

// end is cancel for a context that has not ended.
func (c *lockedContext) end(err error) {
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	for _, f := range c.after {
		go (*f)() // as package context does: it may be any code
	}
	c.after = nil
}
