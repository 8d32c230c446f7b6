// Package generated has the remote interfaces of the benchmark, called through generated stubs and skeletons where they are linked.
// Its twin, package reflected, has the same ones; the difference is what is measured.
//go:generate go tool rmigen

package generated

import (
	"context"

	"gormi/rmi/bench/internal/data"
)

// Object is what clients pass to be called back, or to be forgotten.
type Object interface {
	Ping(ctx context.Context) error
}

// Bench is what suite peers calls.
type Bench interface {
	Null(ctx context.Context) error
	Echo(ctx context.Context, r data.Record) (data.Record, error)
	EchoBytes(ctx context.Context, b []byte) ([]byte, error)
	// CallBack calls o.Ping before it returns.
	CallBack(ctx context.Context, o Object) error
	// Drop forgets o.
	Drop(ctx context.Context, o Object) error
}

// JDK is what suite jdk calls, beside Bench.Null: all give back what they get.
type JDK interface {
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
	Remotes(ctx context.Context, v []Object) ([]Object, error)
	// Throw returns an error.
	Throw(ctx context.Context) error
}
