package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"gormi/callback"
	"gormi/rmi"
)

// view shows events.
type view interface {
	show(ev callback.Event[Quote]) error
	close() error
}

// watch shows the quotes until ctx ends. If they come faster than they can be shown, the oldest of
// those that wait are dropped, and that is a gap. (callback.PolicyCoalesce would keep the newest of
// each symbol. But then every quote that a newer one replaced is reported as lost.)
func (o *options) watch(ctx context.Context, out *os.File) (err error) {
	node := rmi.NewNode(nil)
	defer node.Close()
	wanted := callback.SubscribeOptions{Match: o.match, Start: callback.StartSnapshot,
		FailFast: true} // a wrong -registry is told, not waited for
	var v view
	if !o.plain && terminal(out) {
		b := &board{title: name(o.registry), match: o.match, hint: o.hint}
		v = showInPlace(b, out)
	} else {
		if o.hint != "" {
			fmt.Fprintln(out, o.hint)
		}
		v = lines{out}
	}
	defer func() { err = errors.Join(err, v.close()) }()

	for ev, err := range callback.EventsByName[Quote](ctx, node, name(o.registry), &wanted) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := v.show(ev); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the server closed the source of quotes")
}
