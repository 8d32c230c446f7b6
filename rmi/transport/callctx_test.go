package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func newCallContext(timeout time.Duration) *callContext {
	return &callContext{deadline: time.Now().Add(timeout), depth: 3}
}

func TestCallContextIsAContext(t *testing.T) {
	type key struct{}
	for _, c := range []struct {
		name   string
		derive func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"itself", func(c context.Context) (context.Context, context.CancelFunc) { return c, func() {} }},
		{"WithCancel", context.WithCancel},
		{"WithTimeout", func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(c, time.Hour)
		}},
		{"WithValue", func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithValue(c, key{}, 1), func() {}
		}},
		{"WithCancel of WithValue", func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithCancel(context.WithValue(c, key{}, 1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, end := range []struct {
				name string
				do   func(*callContext)
				want error
			}{
				{"cancelled", func(c *callContext) { c.cancel(context.Canceled) }, context.Canceled},
				{"late", func(c *callContext) { <-time.After(time.Minute) }, context.DeadlineExceeded},
			} {
				synctest.Test(t, func(t *testing.T) {
					parent := newCallContext(time.Minute)
					ctx, cancel := c.derive(parent)
					defer cancel()
					if d, ok := ctx.Deadline(); !ok || !d.Equal(parent.deadline) {
						t.Errorf("deadline %v, %v", d, ok)
					}
					if _, depth, ok := ChainOf(ctx); !ok || depth != 3 {
						t.Errorf("chain of depth %d, %v", depth, ok)
					}
					if err := ctx.Err(); err != nil {
						t.Errorf("Err is %v", err)
					}
					ran := make(chan error, 1)
					context.AfterFunc(ctx, func() { ran <- ctx.Err() })
					stop := context.AfterFunc(ctx, func() { t.Error("a stopped function ran") })
					if !stop() || stop() {
						t.Error("stop says the wrong thing")
					}
					end.do(parent)
					synctest.Wait()
					select {
					case <-ctx.Done():
					default:
						t.Error("Done is open")
					}
					if err := ctx.Err(); !errors.Is(err, end.want) || !errors.Is(context.Cause(ctx), end.want) {
						t.Errorf("Err is %v, want %v", err, end.want)
					}
					if err := <-ran; !errors.Is(err, end.want) {
						t.Errorf("the function after it saw %v", err)
					}
					if context.AfterFunc(ctx, func() { ran <- nil })() {
						t.Error("stopped a function that was due")
					}
					<-ran
				})
			}
		})
	}
}

func TestACallContextCostsNothingUntilItIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallContext(time.Second)
		<-time.After(2 * time.Second)
		st := c.mu.Lock()
		looked := st.timer != nil || st.done != nil
		c.mu.Unlock()
		if looked {
			t.Error("a timer or a channel was made")
		}
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("Err is %v", err)
		}
		<-c.Done()
		c.cancel(context.Canceled)
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("the first reason does not stay: %v", err)
		}
		if _, _, ok := ChainOf(context.Background()); ok || SessionOf(context.Background()) != nil {
			t.Error("a context without a call has one")
		}
	})
}

// A context that a method derived and did not cancel ends with the call.
func TestContextsOfACallEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, s := pair(t)
		kept := make(chan context.Context, 10)
		b.handler.methods[first] = func(in *Incoming) {
			child, cancel := context.WithTimeout(in.Context(), time.Hour)
			_ = cancel
			kept <- in.Context()
			kept <- child
			in.Reply(0, nil, nil)
		}
		if _, err := do(t.Context(), s, request(t.Context(), first, nil)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if ctx := <-kept; true {
				<-ctx.Done()
				if err := ctx.Err(); err != context.Canceled {
					t.Errorf("Err is %v", err)
				}
			}
		}

		// The caller's cancel and the end of the session reach the method.
		for _, end := range []func(context.CancelFunc){
			func(cancel context.CancelFunc) { cancel() },
			func(context.CancelFunc) { a.Close(time.Second) },
		} {
			entered := make(chan context.Context, 1)
			b.handler.methods[first] = func(in *Incoming) {
				entered <- in.Context()
				<-in.Context().Done()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go do(ctx, s, request(ctx, first, nil))
			method := <-entered
			start := time.Now()
			end(cancel)
			<-method.Done()
			if d := time.Since(start); d != 0 {
				t.Errorf("the method heard of it after %v", d)
			}
		}
	})
}

// A call whose deadline passes while its fragments come does not run.
func TestACallThatIsLateDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		ran := 0
		b.handler.methods[first] = func(in *Incoming) {
			ran++
			in.Reply(0, nil, nil)
		}
		p := rawTo(t, b, b.Network).join()
		const half = 20_000
		soon := func(h *wire.CallHeader) { h.Timeout = 2e6 }
		p.write(p.begin(0, first, 2*half, soon))
		p.write(p.fragment(0, half))
		time.Sleep(3 * time.Second)
		p.write(p.fragment(0, half))
		_, err := p.returned(0)
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "")
		p.write(p.begin(1, first, 2*half, soon))
		p.write(p.fragment(1, half))
		time.Sleep(time.Second)
		p.write(p.fragment(1, half))
		if _, err := p.returned(1); err != nil || ran != 1 {
			t.Errorf("in time: %v, and %d calls ran", err, ran)
		}
	})
}
