package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/bench/internal/data"
	generatedapi "gormi/rmi/bench/internal/generated"
	reflectedapi "gormi/rmi/bench/internal/reflected"
)

// gormi is GoRMI with the remote interfaces B, J and O of one of the packages
// internal/generated and internal/reflected.
type gormi[B benchAPI[O], J jdkAPI[O], O object] struct {
	options rmi.Options
	network string     // "unix", or TCP
	bench   func() any // makes the servant that is exported as B; nil: the usual one
}

var (
	generated = gormi[generatedapi.Bench, generatedapi.JDK, generatedapi.Object]{}
	overUnix  = gormi[generatedapi.Bench, generatedapi.JDK, generatedapi.Object]{network: "unix"}
	reflected = gormi[reflectedapi.Bench, reflectedapi.JDK, reflectedapi.Object]{}
)

type object interface {
	Ping(ctx context.Context) error
}

// benchAPI and jdkAPI say what the twins of Bench and JDK have in common.
type benchAPI[O object] interface {
	Null(ctx context.Context) error
	Echo(ctx context.Context, r data.Record) (data.Record, error)
	EchoBytes(ctx context.Context, b []byte) ([]byte, error)
	CallBack(ctx context.Context, o O) error
	Drop(ctx context.Context, o O) error
}

type jdkAPI[O object] interface {
	Bool(ctx context.Context, v bool) (bool, error)
	Byte(ctx context.Context, v int8) (int8, error)
	Char(ctx context.Context, v uint16) (uint16, error)
	Short(ctx context.Context, v int16) (int16, error)
	Int(ctx context.Context, v int32) (int32, error)
	Long(ctx context.Context, v int64) (int64, error)
	Float(ctx context.Context, v float32) (float32, error)
	Double(ctx context.Context, v float64) (float64, error)
	Bools(ctx context.Context, v []bool) ([]bool, error)
	Bytes(ctx context.Context, v []byte) ([]byte, error)
	Chars(ctx context.Context, v []uint16) ([]uint16, error)
	Shorts(ctx context.Context, v []int16) ([]int16, error)
	Ints(ctx context.Context, v []int32) ([]int32, error)
	Longs(ctx context.Context, v []int64) ([]int64, error)
	Floats(ctx context.Context, v []float32) ([]float32, error)
	Doubles(ctx context.Context, v []float64) ([]float64, error)
	SmallTree(ctx context.Context, t *data.Small) (*data.Small, error)
	MixedTree(ctx context.Context, t *data.Mixed) (*data.Mixed, error)
	MixedNodes(ctx context.Context, v []*data.Mixed) ([]*data.Mixed, error)
	Remotes(ctx context.Context, v []O) ([]O, error)
	Throw(ctx context.Context) error
}

// servant implements both, for either O.
type servant[O object] struct{ _ int }

func (*servant[O]) Null(context.Context) error                                      { return nil }
func (*servant[O]) Echo(_ context.Context, r data.Record) (data.Record, error)      { return r, nil }
func (*servant[O]) EchoBytes(_ context.Context, b []byte) ([]byte, error)           { return b, nil }
func (*servant[O]) CallBack(ctx context.Context, o O) error                         { return o.Ping(ctx) }
func (*servant[O]) Drop(context.Context, O) error                                   { return nil }
func (*servant[O]) Bool(_ context.Context, v bool) (bool, error)                    { return v, nil }
func (*servant[O]) Byte(_ context.Context, v int8) (int8, error)                    { return v, nil }
func (*servant[O]) Char(_ context.Context, v uint16) (uint16, error)                { return v, nil }
func (*servant[O]) Short(_ context.Context, v int16) (int16, error)                 { return v, nil }
func (*servant[O]) Int(_ context.Context, v int32) (int32, error)                   { return v, nil }
func (*servant[O]) Long(_ context.Context, v int64) (int64, error)                  { return v, nil }
func (*servant[O]) Float(_ context.Context, v float32) (float32, error)             { return v, nil }
func (*servant[O]) Double(_ context.Context, v float64) (float64, error)            { return v, nil }
func (*servant[O]) Bools(_ context.Context, v []bool) ([]bool, error)               { return v, nil }
func (*servant[O]) Bytes(_ context.Context, v []byte) ([]byte, error)               { return v, nil }
func (*servant[O]) Chars(_ context.Context, v []uint16) ([]uint16, error)           { return v, nil }
func (*servant[O]) Shorts(_ context.Context, v []int16) ([]int16, error)            { return v, nil }
func (*servant[O]) Ints(_ context.Context, v []int32) ([]int32, error)              { return v, nil }
func (*servant[O]) Longs(_ context.Context, v []int64) ([]int64, error)             { return v, nil }
func (*servant[O]) Floats(_ context.Context, v []float32) ([]float32, error)        { return v, nil }
func (*servant[O]) Doubles(_ context.Context, v []float64) ([]float64, error)       { return v, nil }
func (*servant[O]) SmallTree(_ context.Context, t *data.Small) (*data.Small, error) { return t, nil }
func (*servant[O]) MixedTree(_ context.Context, t *data.Mixed) (*data.Mixed, error) { return t, nil }
func (*servant[O]) MixedNodes(_ context.Context, v []*data.Mixed) ([]*data.Mixed, error) {
	return v, nil
}
func (*servant[O]) Remotes(_ context.Context, v []O) ([]O, error) { return v, nil }
func (*servant[O]) Throw(context.Context) error                   { return errThrown }

var errThrown = errors.New("thrown")

// Ping is what the client's objects do.
func (*servant[O]) Ping(context.Context) error { return nil }

func (g gormi[B, J, O]) node() *rmi.Node { return rmi.NewNode(&g.options) }

func (g gormi[B, J, O]) Serve() (string, func(), error) {
	n := g.node()
	stop := func() { n.Close() }
	address, err := func() (string, error) {
		at := "127.0.0.1:0"
		if g.network == "unix" {
			dir, err := os.MkdirTemp("", "bench")
			if err != nil {
				return "", err
			}
			stop = func() { n.Close(); os.RemoveAll(dir) }
			at = "unix:" + filepath.Join(dir, "s")
		}
		if _, err := n.Listen(context.Background(), at); err != nil {
			return "", err
		}
		bench := any(new(servant[O]))
		if g.bench != nil {
			bench = g.bench()
		}
		b, err := rmi.Export(n, bench.(B), nil)
		if err != nil {
			return "", err
		}
		j, err := rmi.Export(n, any(new(servant[O])).(J), nil)
		if err != nil {
			return "", err
		}
		var text []string
		for _, r := range []refs.Ref{b.Ref(), j.Ref()} {
			t, err := r.MarshalText()
			if err != nil {
				return "", err
			}
			text = append(text, string(t))
		}
		return strings.Join(text, " "), nil
	}()
	if err != nil {
		stop()
		return "", nil, err
	}
	return address, stop, nil
}

func (g gormi[B, J, O]) Dial(address string) (Client, error) {
	c := &gormiClient[B, J, O]{node: g.node(), record: data.NewRecord()}
	err := func() error {
		b, j, _ := strings.Cut(address, " ")
		ref, err := refs.Parse(b)
		if err != nil {
			return err
		}
		if c.bench, err = rmi.Resolve[B](c.node, ref, nil); err != nil {
			return err
		}
		if ref, err = refs.Parse(j); err != nil {
			return err
		}
		c.jdk, err = rmi.Resolve[J](c.node, ref, nil)
		return err
	}()
	if err != nil {
		c.node.Close()
		return nil, err
	}
	c.object = c.newObject()
	return c, nil
}

type gormiClient[B benchAPI[O], J jdkAPI[O], O object] struct {
	node   *rmi.Node
	bench  B
	jdk    J
	record data.Record
	object O
}

func (*gormiClient[B, J, O]) newObject() O { return any(new(servant[O])).(O) }

func (c *gormiClient[B, J, O]) Null() error { return c.bench.Null(context.Background()) }

func (c *gormiClient[B, J, O]) Echo() error {
	r, err := c.bench.Echo(context.Background(), c.record)
	if err == nil && r.ID != c.record.ID {
		err = errWrong
	}
	return err
}

func (c *gormiClient[B, J, O]) EchoBytes(b []byte) error {
	out, err := c.bench.EchoBytes(context.Background(), b)
	if err == nil && len(out) != len(b) {
		err = errWrong
	}
	return err
}

func (c *gormiClient[B, J, O]) CallBack() error {
	return c.bench.CallBack(context.Background(), c.object)
}

func (c *gormiClient[B, J, O]) Reference() error {
	return c.bench.Drop(context.Background(), c.newObject())
}

func (c *gormiClient[B, J, O]) Export() error {
	h, err := rmi.Export(c.node, c.newObject(), nil)
	if err != nil {
		return err
	}
	return h.Close()
}

func (c *gormiClient[B, J, O]) Close() error { return c.node.Close() }

func (c *gormiClient[B, J, O]) JDK() map[string]func() error {
	j := c.jdk
	objects := make([]O, jdkLength)
	for i := range objects {
		objects[i] = c.newObject()
	}
	nodes := make([]*data.Mixed, jdkLength)
	for i := range nodes {
		nodes[i] = data.NewMixed()
	}
	return map[string]func() error{
		"null":        c.Null,
		"boolean":     same(j.Bool, true),
		"byte":        same(j.Byte, 1),
		"char":        same(j.Char, 'c'),
		"short":       same(j.Short, 300),
		"int":         same(j.Int, 70_000),
		"long":        same(j.Long, 5_000_000_000),
		"float":       same(j.Float, 1.5),
		"double":      same(j.Double, 3.14),
		"boolean[]":   sameLength(j.Bools, true),
		"byte[]":      sameLength(j.Bytes, 1),
		"char[]":      sameLength(j.Chars, 'c'),
		"short[]":     sameLength(j.Shorts, 300),
		"int[]":       sameLength(j.Ints, 70_000),
		"long[]":      sameLength(j.Longs, 5_000_000_000),
		"float[]":     sameLength(j.Floats, 1.5),
		"double[]":    sameLength(j.Doubles, 3.14),
		"small tree":  checked(j.SmallTree, data.SmallTree(jdkDepth), func(t *data.Small) bool { return t.Left.Right != nil }),
		"mixed tree":  checked(j.MixedTree, data.MixedTree(jdkDepth), func(t *data.Mixed) bool { return t.Left.Right.D == 3.14 }),
		"mixed nodes": checked(j.MixedNodes, nodes, func(v []*data.Mixed) bool { return v[jdkLength-1].D == 3.14 }),
		"references":  checked(j.Remotes, objects, func(v []O) bool { return any(v[jdkLength-1]) == any(objects[jdkLength-1]) }),
		"exception": func() error {
			if err := j.Throw(context.Background()); rmi.KindOf(err) != rmi.KindApplication {
				return errors.Join(errWrong, err)
			}
			return nil
		},
		"export": c.Export,
	}
}

// checked makes the calls of a method that gives back what it gets.
func checked[T any](f func(context.Context, T) (T, error), v T, ok func(T) bool) func() error {
	return func() error {
		got, err := f(context.Background(), v)
		if err == nil && !ok(got) {
			err = errWrong
		}
		return err
	}
}

func same[T comparable](f func(context.Context, T) (T, error), v T) func() error {
	return checked(f, v, func(got T) bool { return got == v })
}

func sameLength[T comparable](f func(context.Context, []T) ([]T, error), v T) func() error {
	all := slices.Repeat([]T{v}, jdkLength)
	return checked(f, all, func(got []T) bool { return len(got) == jdkLength && got[jdkLength-1] == v })
}
