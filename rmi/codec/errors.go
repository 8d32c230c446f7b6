package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

const (
	maxErrorText       = 64 << 10 // bytes of an error's text; the rest is cut off
	maxErrorPayload    = 64 << 10 // bytes of all typed errors in one error
	maxErrorIdentities = 16
	maxErrorNodes      = 256 // nodes of a tree of wrapped errors that are looked at, by fault.Public too
	// maxErrorNesting is how deep typed errors may be nested.
	// Their values are bodies of their own, which Scan of the outer one sees as
	// binary data. Their causes are found again at each level.
	maxErrorNesting = 2
)

// AppendError appends the error form of err, which must not be nil. It is a
// msgpack array:
//
//	[kind, outcome, text, op, [[name, payload]...]]
//
// kind and outcome are numbers of package fault. text and op are strings. An
// entry of the list is an error in err's tree that the other side can make again:
//
//   - a registered sentinel: payload is nil
//   - a value of a registered type: payload is binary data that holds the value as msgpack
//   - a *fault.Error that is not of kind Application: name is "rmi.Error", payload is binary data
//     that holds [kind, outcome, op, text]
//
// A reader skips names that it does not know, and further elements.
//
// If err itself is a *fault.Error, the form has its kind, outcome, op and text.
// Any other error has kind Application and outcome Executed. If a method returned a
// *fault.Error, the caller must wrap it in one of kind Application. Otherwise
// it would look like an error of this call itself.
//
// What is fault.Private in err is left out.
//
// The text is cut after 64 KiB, the list after 16 entries or 64 KiB of payload.
func AppendError(b []byte, err error) []byte {
	e := NewEncoder(nil, nil)
	defer e.Release()
	if werr := e.errorForm(err, fault.KindApplication, fault.OutcomeExecuted); werr != nil {
		// It fits any limit, so this is a defect. The peer still gets an answer.
		b = append(appendArray(b, 5), byte(fault.KindInternal), byte(fault.OutcomeUnknown))
		b = appendString(appendString(b, "the error could not be encoded: "+werr.Error()), "")
		return appendArray(b, 0)
	}
	return append(b, e.Body()...)
}

// public is fault.Public, for errors whose methods may panic.
func public(err error) (p error) {
	defer func() {
		if recover() != nil {
			p = err
		}
	}()
	return fault.Public(err)
}

// errorForm writes an error. kind and outcome are for an error that is not a *fault.Error.
func (e *Encoder) errorForm(err error, kind fault.Kind, outcome fault.Outcome) error {
	err = public(err)
	var text, op string
	cause := err
	if f, ok := err.(*fault.Error); ok && f != nil {
		kind, outcome, op, cause = f.Kind, f.Outcome, f.Op, f.Err
		text = safely(f.Detail)
	} else {
		text = safely(err.Error)
	}
	b := append(appendArray(nil, 5), numberPair(kind, outcome)...)
	b = appendString(appendString(b, clip(text)), clip(op))
	entries := e.identities(cause)
	b = appendArray(b, len(entries))
	for _, entry := range entries {
		b = append(b, entry...)
	}
	_, werr := e.w.Write(b)
	return werr
}

func numberPair(kind fault.Kind, outcome fault.Outcome) []byte {
	return appendNumber(appendNumber(nil, int(kind)), int(outcome))
}

// safely calls the method of a user's error that returns its text. On a nil pointer in an error,
// the method panics.
func safely(text func() string) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = fmt.Sprintf("an error whose Error method panicked: %v", r)
		}
	}()
	return text()
}

// clip makes a text valid UTF-8 of bounded length.
func clip(s string) string {
	if len(s) > maxErrorText {
		end := maxErrorText - len("…")
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// identities returns the encoded entries for what is known in err's tree.
func (e *Encoder) identities(err error) (entries [][]byte) {
	defer func() { _ = recover() }() // Is and Unwrap methods of users; keep what was found
	payload, tried := 0, 0
	add := func(name string, value []byte) {
		if len(entries) == maxErrorIdentities || payload+len(value) > maxErrorPayload {
			return
		}
		payload += len(value)
		entry := appendString(appendArray(nil, 2), name)
		if value == nil {
			entry = append(entry, 0xc0)
		} else {
			entry = append(appendBinaryHead(entry, len(value)), value...)
		}
		entries = append(entries, entry)
	}
	queue := []error{err}
	seen := map[error]bool{}
	for n := 0; len(queue) > 0 && n < maxErrorNodes-fault.PublicNodes && len(entries) < maxErrorIdentities; n++ {
		node := queue[0]
		queue = queue[1:]
		if node == nil {
			continue
		}
		again := false // as when errors are joined that share a cause
		if reflect.ValueOf(node).Comparable() {
			again, seen[node] = seen[node], true
		}
		if again {
			// Its causes count towards the nodes all the same, because they may lead back to it.
		} else if f, ok := node.(*fault.Error); ok && f != nil {
			if f.Kind != fault.KindApplication { // each hop of a chain adds one of those: they would push out what they wrap
				value := append(appendArray(nil, 4), numberPair(f.Kind, f.Outcome)...)
				add(fault.ErrorName, appendString(appendString(value, clip(f.Op)), clip(safely(f.Detail))))
			}
		} else if name, ok := fault.NameOfType(reflect.TypeOf(node)); ok && tried < maxErrorIdentities {
			tried++ // also if it fails: each value walks its own causes
			if value := e.errorValue(node); value != nil {
				add(name, value)
			}
		}
		switch w := node.(type) {
		case interface{ Unwrap() error }:
			queue = append(queue, w.Unwrap())
		case interface{ Unwrap() []error }:
			queue = append(queue, w.Unwrap()...)
		}
	}
	if err != nil && len(queue) == 0 { // else it may lead back to itself, and errors.Is would never end
		for _, name := range fault.SentinelsOf(err) {
			add(name, nil)
		}
	}
	return entries
}

func appendBinaryHead(b []byte, n int) []byte {
	return append(b, 0xc6, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// errorValue encodes an error of a registered type. It returns nil if that cannot be
// done: then only its text travels.
func (e *Encoder) errorValue(err error) []byte {
	p, perr := planOf(reflect.TypeOf(err))
	if perr != nil || e.errors == maxErrorNesting {
		return nil
	}
	inner := NewEncoder(nil, &wire.Limits{Message: maxErrorPayload})
	defer inner.Release()
	inner.errors = e.errors + 1
	if p.enc(inner, reflect.ValueOf(err)) != nil {
		return nil
	}
	return append([]byte{}, inner.Body()...)
}

// CheckErrorType returns why values of t, an error type, cannot travel within
// errors, or nil if they can. An error has no table of references, so no part of it can be a
// reference.
func CheckErrorType(t reflect.Type) error {
	p, err := planOf(t)
	if err != nil {
		return err
	}
	if where := p.reference(map[*plan]bool{}); where != "" {
		return fmt.Errorf("%s: references do not travel in errors", strings.TrimPrefix(where, "."))
	}
	return nil
}

// reference returns the path to a reference that values may hold, or "".
func (p *plan) reference(seen map[*plan]bool) string {
	if seen[p] {
		return ""
	}
	seen[p] = true
	switch p.kind {
	case KindRemote, KindReference:
		return " (" + typeName(p.typ) + ")"
	}
	if p.elem != nil {
		if where := p.elem.reference(seen); where != "" {
			if p.kind != kindPointer {
				where = "[]" + where
			}
			return where
		}
	}
	for _, f := range p.fields {
		if where := f.plan.reference(seen); where != "" {
			return "." + f.goes + where
		}
	}
	return ""
}

// ParseError reads what AppendError wrote, from a peer that is not trusted.
// The *fault.Error has origin Peer. Its cause is a *fault.Remote with the
// text and the errors that could be made again. nil limits mean the defaults.
// The second error, of kind Protocol or TooLarge, says that b is not an error form.
func ParseError(b []byte, l *wire.Limits) (*fault.Error, error) {
	d, err := NewDecoder(b, nil, nil, l)
	if err == nil {
		defer d.Release()
		var f *fault.Error
		if f, err = d.errorForm(); err == nil {
			return f, nil
		}
	}
	kind := fault.KindProtocol
	if fault.KindOf(err) == fault.KindTooLarge {
		kind = fault.KindTooLarge
	}
	return nil, fault.New(kind, fault.OutcomeUnknown, "W-130: the peer's error: %w", err)
}

// errorForm reads a form. Its kind is 0 if it stands for an error that was no
// *fault.Error.
func (d *Decoder) errorForm() (*fault.Error, error) {
	p := parts{d: d}
	n := p.array()
	if p.err == nil && n < 5 {
		p.fail("an error of %d parts", n)
	}
	f := p.failed()
	text := p.text()
	f.Op = p.text()
	remote := &fault.Remote{Text: text}
	count := p.array()
	for i := 0; i < min(count, maxErrorIdentities) && p.err == nil; i++ {
		if cause := p.identity(); cause != nil {
			remote.Causes = append(remote.Causes, cause)
		}
	}
	p.skip(count - maxErrorIdentities) // more than AppendError writes
	p.skip(n - 5)
	if p.err != nil {
		return nil, p.err
	}
	if len(remote.Causes) > 0 || f.Kind == fault.KindApplication || f.Kind == 0 {
		f.Err = remote
	} else {
		f.Msg = text
	}
	return f, nil
}

// failed reads kind and outcome. Values of later versions are kept. Such an outcome counts as
// Unknown.
func (p *parts) failed() *fault.Error {
	f := &fault.Error{Kind: fault.Kind(p.below(256)), Outcome: fault.Outcome(p.below(256)), Origin: fault.OriginPeer}
	if f.Outcome > fault.OutcomeExecuted {
		f.Outcome = fault.OutcomeUnknown
	}
	return f
}

func (p *parts) text() string {
	b := p.payload(classString)
	if p.err == nil {
		p.err = p.d.charge(len(b), 1)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// identity reads one entry and makes the error again. It returns nil if the error is not known
// here or cannot be made.
func (p *parts) identity() error {
	n := p.array()
	if p.err == nil && n < 2 {
		p.fail("an identity of %d parts", n)
	}
	name := string(p.payload(classString))
	if p.err != nil {
		return nil
	}
	var payload []byte
	if !p.d.null() {
		payload = p.payload(classBinary)
	}
	p.skip(n - 2)
	switch {
	case p.err != nil:
		return nil
	case payload == nil:
		err, _ := fault.SentinelByName(name)
		return err
	case name == fault.ErrorName:
		return p.d.nestedFault(payload)
	}
	t, ok := fault.TypeByName(name)
	if !ok {
		return nil
	}
	return p.d.errorValue(t, payload)
}

// inner returns a decoder for a payload. What it decodes counts against d's memory. The caller
// calls give at the end.
func (d *Decoder) inner(payload []byte) (in *Decoder, give func(), err error) {
	if d.errors == maxErrorNesting {
		return nil, nil, errors.New("typed errors nest too deep")
	}
	if in, err = NewDecoder(payload, nil, nil, d.limits); err != nil {
		return nil, nil, err
	}
	in.errors, in.memory = d.errors+1, d.memory
	return in, func() { d.memory = in.memory; in.Release() }, nil
}

func (d *Decoder) nestedFault(payload []byte) error {
	in, give, err := d.inner(payload)
	if err != nil {
		return nil
	}
	defer give()
	p := parts{d: in}
	if n := p.array(); n < 4 {
		return nil
	}
	f := p.failed()
	f.Op, f.Msg = p.text(), p.text()
	if p.err != nil {
		return nil
	}
	return f
}

func (d *Decoder) errorValue(t reflect.Type, payload []byte) error {
	plan, err := planOf(t)
	if err != nil {
		return nil
	}
	in, give, err := d.inner(payload)
	if err != nil {
		return nil
	}
	defer give()
	if in.charge(1, t.Size()) != nil {
		return nil
	}
	v := reflect.New(t).Elem()
	if plan.dec(in, v) != nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func:
		if v.IsNil() { // its Error method would panic
			return nil
		}
	}
	e, _ := v.Interface().(error)
	return e
}

// fillError plans values of type error. They travel as nil or as the error form, whose kind is 0
// unless the error is a *fault.Error. If the form stands for one error that
// could be made again, that error is the value.
func (c *compiler) fillError(p *plan) {
	p.kind = KindError
	p.empty = reflect.Value.IsNil
	p.enc = func(e *Encoder, v reflect.Value) error {
		err, _ := v.Interface().(error)
		return e.error(err)
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		got, err := d.error()
		if got != nil {
			v.Set(reflect.ValueOf(got))
		}
		return err
	}
}

func (e *Encoder) error(v error) error {
	if v == nil {
		return e.nil()
	}
	start := len(e.w.buf)
	if err := e.errorForm(v, 0, 0); err != nil {
		return err
	}
	return e.checkOwn(start, typeError)
}

func (d *Decoder) error() (got, err error) {
	if d.null() {
		return nil, nil
	}
	f, err := d.errorForm()
	if err != nil {
		return nil, err
	}
	if f.Kind != 0 {
		return f, nil
	}
	remote := f.Err.(*fault.Remote)
	if len(remote.Causes) == 1 && safely(remote.Causes[0].Error) == remote.Text {
		return remote.Causes[0], nil
	}
	return remote, nil
}
