package proxy

import (
	"context"
	"runtime"

	"gormi/refs"
)

// A RefreshFunc finds out where the object of a following proxy is now. failed is the reference by
// which the last call failed, cause is the reason.
type RefreshFunc func(ctx context.Context, failed refs.Ref, cause error) (refs.Ref, error)

// Follow returns a following proxy. It stands for whichever object a name leads to. At first that
// is target's object. Its Caller calls refresh to find the next one. A following proxy is equal to
// no other proxy: it is in no table but that of funcs.
func (t *Table) Follow(target *Core, refresh RefreshFunc) (*Core, error) {
	c := &Core{Interface: target.Interface, Caller: target.Caller, Refresh: refresh, table: t}
	c.target.Store(target)
	if err := c.build(); err != nil {
		return nil, err
	}
	if c.fn != nil {
		addFunc(c)
		runtime.AddCleanup(c, dropFunc, uintptr(c.fn))
	}
	return c, nil
}

// Target returns the ordinary proxy through which a following proxy makes its calls now. It has the
// reference, and what the Caller remembers of it.
func (c *Core) Target() *Core { return c.target.Load() }

// Retarget makes the next calls of a following proxy go through the proxy to, of the same
// interface.
func (c *Core) Retarget(to *Core) { c.target.Store(to) }
