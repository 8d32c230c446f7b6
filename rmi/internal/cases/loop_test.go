package cases_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/internal/cases"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// loop is a Caller that passes calls to a skeleton of its own, and stores the bytes.
type loop struct {
	skeleton *skeleton.Skeleton
	table    proxy.Table
	limits   wire.Limits // of what the skeleton decodes
	sends    wire.Limits // of what the proxy encodes
	method   string
	args     []byte
	refs     []refs.Ref
	results  []byte

	exported []reflect.Value
}

// newLoop returns a proxy of one type and the skeleton of another for v.
func newLoop[Proxy, Skeleton any](t testing.TB, v any) (*loop, Proxy) {
	t.Helper()
	l := &loop{skeleton: skeleton.New(interfaceOf[Skeleton](t), reflect.ValueOf(v))}
	c, err := l.table.Get(refs.Ref{ID: refs.ID{Object: 99}}, interfaceOf[Proxy](t), l)
	if err != nil {
		t.Fatal(err)
	}
	return l, c.Value().Interface().(Proxy)
}

func interfaceOf[T any](t testing.TB) *codec.Interface {
	t.Helper()
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// ExportRef numbers what is exported in a call.
func (l *loop) ExportRef(v reflect.Value, _ *codec.Interface) (refs.Ref, error) {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	l.exported = append(l.exported, v)
	return refs.Ref{ID: refs.ID{Object: refs.ObjNum(len(l.exported))}}, nil
}

// ImportRef finds what ExportRef numbered.
func (l *loop) ImportRef(r refs.Ref, i *codec.Interface) (reflect.Value, error) {
	n := int(r.ID.Object) - 1
	if n < 0 || n >= len(l.exported) || !l.exported[n].Type().AssignableTo(i.Type) {
		return reflect.Value{}, errors.New("no such object")
	}
	return l.exported[n], nil
}

func (l *loop) Begin(ctx context.Context, _ *proxy.Core, m *codec.Method) proxy.Invocation {
	l.method, l.args, l.refs, l.results, l.exported = m.Name, nil, nil, nil, nil
	return &looped{l: l, ctx: ctx, m: m}
}

type looped struct {
	l     *loop
	ctx   context.Context
	m     *codec.Method
	tried bool
	e     *codec.Encoder
	d     *codec.Decoder
	err   error
}

func (x *looped) Attempt() bool {
	if x.tried {
		return false
	}
	x.tried = true
	x.e = codec.NewEncoder(x.l, &x.l.sends)
	return true
}

func (x *looped) Encoder() *codec.Encoder { return x.e }

func (x *looped) Send(err error) {
	defer x.e.Release()
	if x.err = err; err != nil {
		return
	}
	x.l.args, x.l.refs = slices.Clone(x.e.Body()), slices.Clone(x.e.Refs())
	var table []refs.Ref
	if x.l.results, table, x.err = x.l.serve(x.ctx, x.m.Name, x.l.args, x.l.refs); x.err != nil {
		return
	}
	x.d, x.err = codec.NewDecoder(x.l.results, table, x.l, nil)
}

// serve passes encoded arguments to the skeleton.
func (l *loop) serve(ctx context.Context, method string, args []byte, table []refs.Ref) ([]byte, []refs.Ref, error) {
	d, err := codec.NewDecoder(args, table, l, &l.limits)
	if err != nil {
		return nil, nil, err
	}
	defer d.Release()
	e := codec.NewEncoder(l, &l.limits)
	defer e.Release()
	if err := l.skeleton.Serve(ctx, l.skeleton.Interface.ByName(method), d, e); err != nil {
		return nil, nil, err
	}
	return slices.Clone(e.Body()), slices.Clone(e.Refs()), nil
}

func (x *looped) Results() *codec.Decoder { return x.d }

func (x *looped) End(err error) error {
	if x.d != nil {
		x.d.Release()
	}
	return errors.Join(x.err, err)
}

// pairs are the four ways to put a proxy and a skeleton together.
func pairs(t testing.TB, v cases.Cases) map[string]struct {
	*loop
	cases.Cases
} {
	all := map[string]struct {
		*loop
		cases.Cases
	}{}
	l, p := newLoop[cases.Cases, cases.Cases](t, v)
	all["generated, generated"] = struct {
		*loop
		cases.Cases
	}{l, p}
	l, p = newLoop[cases.Cases, cases.Plain](t, v)
	all["generated, reflective"] = struct {
		*loop
		cases.Cases
	}{l, p}
	if proxy.Supported(reflect.TypeFor[cases.Plain]()) != nil {
		return all
	}
	l, q := newLoop[cases.Plain, cases.Cases](t, v)
	all["run-time, generated"] = struct {
		*loop
		cases.Cases
	}{l, q}
	l, q = newLoop[cases.Plain, cases.Plain](t, v)
	all["run-time, reflective"] = struct {
		*loop
		cases.Cases
	}{l, q}
	return all
}
