package fault

import (
	"slices"
	"strings"
)

// Private marks an error whose details are for this node's own program: what a dial met that a
// reference of a peer caused. A peer that chose the address could learn from them which ports are
// open here, and what answers there. [Public] takes them out of what is sent to a peer.
var Private Part = part(func(e *Error) { e.private = true })

// notReached is all that a peer learns of a dial that its reference caused.
const notReached = "this node could not connect to where the reference leads"

// public is a private error as a peer may see it. Only a node proves by its key that another node
// answers, so StaleReference stays. All other ways in which a dial fails look alike.
func (e *Error) public() *Error {
	p := *e
	p.Msg, p.Err, p.said, p.private = notReached, nil, false, false
	switch p.Kind {
	case KindDenied:
		p.Msg = "the dial policy of this node does not let it connect to where the reference leads"
	case KindStaleReference, KindDeadline, KindCancelled, KindClosed:
	default:
		p.Kind = KindConnectFailed
	}
	return &p
}

// publicError takes the place of an error that wraps a private one.
type publicError struct {
	text   string
	causes []error
}

func (e *publicError) Error() string   { return e.text }
func (e *publicError) Unwrap() []error { return e.causes }

// Public returns err without what is [Private] in it. If nothing is, that is err itself.
func Public(err error) error {
	left := PublicNodes
	if p := public(err, &left); p != nil {
		return p
	}
	return err
}

// PublicNodes is how many errors of a tree Public looks at: an Unwrap may lead back to its error.
const PublicNodes = 32

// public returns nil if nothing in err is private. left is how many more errors it looks at.
func public(err error, left *int) error {
	if err == nil || *left == 0 {
		return nil
	}
	*left--
	if e, ok := err.(*Error); ok {
		switch {
		case e == nil:
			return nil
		case e.private:
			return e.public()
		}
		inner := public(e.Err, left)
		if inner == nil {
			return nil
		}
		p := *e
		p.Msg, p.Err, p.said = hide(e.Detail(), e.Err, inner), inner, true
		return &p
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		inner := w.Unwrap()
		if p := public(inner, left); p != nil {
			return &publicError{hide(err.Error(), inner, p), []error{p}}
		}
	case interface{ Unwrap() []error }:
		var changed *publicError
		for i, inner := range w.Unwrap() {
			p := public(inner, left)
			if p == nil {
				continue
			}
			if changed == nil {
				changed = &publicError{err.Error(), slices.Clone(w.Unwrap())}
			}
			changed.text, changed.causes[i] = hide(changed.text, inner, p), p
		}
		if changed != nil {
			return changed
		}
	}
	return nil
}

// hide replaces the text of an error by that of its public form. If the text is not there as it
// stands, all of it is replaced: it may say the same in other words.
func hide(text string, private, public error) string {
	from, to := private.Error(), public.Error()
	if !strings.Contains(text, from) { // nested, it stands without the prefix
		from, to = strings.TrimPrefix(from, prefix), strings.TrimPrefix(to, prefix)
	}
	if from == "" || !strings.Contains(text, from) {
		return to
	}
	return strings.ReplaceAll(text, from, to)
}
