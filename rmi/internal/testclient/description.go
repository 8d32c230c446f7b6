package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kinds of types that this program handles in a special way.
const (
	kindString = 12
	kindList   = 19
	kindArray  = 20
	kindMap    = 21
	kindStruct = 22
	kindTuple  = 23
	kindRemote = 24
)

var kindNames = strings.Fields("- bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 string bytes " +
	"bytearray time reference error any list array map struct tuple remote binary text custom")

// description says what an interface's methods take and return.
type description struct {
	name    string
	types   []typeInfo
	methods []methodInfo
}

type typeInfo struct {
	kind, elem, key, size int
	name                  string
	fields                []fieldInfo
	methods               []methodInfo
}

type fieldInfo struct {
	name string
	of   int
}

type methodInfo struct {
	name            string
	variadic        bool
	params, results []int
}

// funcDescription describes a function that takes a string and returns an error only.
func funcDescription() []byte {
	return encode([]any{1, "func(string)", []any{[]any{kindString}}, []any{[]any{"Call", false, []any{0}, []any{}}}})
}

// part returns element i of a list as a T. If the list ends before it, that is the zero value.
func part[T any](list []any, i int) (v T, err error) {
	if i >= len(list) {
		return v, nil
	}
	v, ok := list[i].(T)
	if !ok {
		return v, fmt.Errorf("a description has %T, want %T", list[i], v)
	}
	return v, nil
}

// each reads a list of lists.
func each[T any](list []any, read func([]any) (T, error)) ([]T, error) {
	var all []T
	for _, x := range list {
		l, ok := x.([]any)
		if !ok {
			return nil, fmt.Errorf("a description has %T, want a list", x)
		}
		v, err := read(l)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func parseDescription(b []byte) (*description, error) {
	list, err := decode(b, nil)
	if err != nil {
		return nil, err
	}
	v, err1 := part[int64](list, 0)
	d := new(description)
	var err2, err3, err4, err5 error
	d.name, err2 = part[string](list, 1)
	types, err3 := part[[]any](list, 2)
	if err := errors.Join(err1, err2, err3); v != 1 || err != nil {
		return nil, errors.Join(err, fmt.Errorf("description of version %d", v))
	}
	read := reader{len(types)}
	d.types, err4 = each(types, read.typeInfo)
	d.methods, err5 = read.methods(list, 3)
	return d, errors.Join(err4, err5)
}

// reader reads the parts of a description that has a number of types.
type reader struct{ types int }

func (r reader) number(list []any, i int) (int, error) {
	n, err := part[int64](list, i)
	return int(n), err
}

func (r reader) index(list []any, i int) (int, error) {
	n, err := r.number(list, i)
	if n < 0 || n >= r.types {
		return 0, errors.Join(err, fmt.Errorf("type %d of %d", n, r.types))
	}
	return n, err
}

func (r reader) typeInfo(list []any) (t typeInfo, err error) {
	var errs [7]error
	t.kind, errs[0] = r.number(list, 0)
	t.name, errs[1] = part[string](list, 1)
	t.elem, errs[2] = r.index(list, 2)
	t.key, errs[3] = r.index(list, 3)
	t.size, errs[4] = r.number(list, 4)
	fields, err := part[[]any](list, 5)
	if err != nil {
		return t, err
	}
	t.fields, errs[5] = each(fields, func(list []any) (f fieldInfo, err error) {
		name, err := part[string](list, 0)
		of, err2 := r.index(list, 1)
		return fieldInfo{name, of}, errors.Join(err, err2)
	})
	t.methods, errs[6] = r.methods(list, 6)
	return t, errors.Join(errs[:]...)
}

func (r reader) methods(list []any, i int) ([]methodInfo, error) {
	methods, err := part[[]any](list, i)
	if err != nil {
		return nil, err
	}
	return each(methods, func(list []any) (m methodInfo, err error) {
		var errs [4]error
		m.name, errs[0] = part[string](list, 0)
		m.variadic, errs[1] = part[bool](list, 1)
		m.params, errs[2] = r.indices(list, 2)
		m.results, errs[3] = r.indices(list, 3)
		return m, errors.Join(errs[:]...)
	})
}

func (r reader) indices(list []any, i int) ([]int, error) {
	l, err := part[[]any](list, i)
	var all []int
	for j := range l {
		n, err2 := r.index(l, j)
		all, err = append(all, n), errors.Join(err, err2)
	}
	return all, err
}

// signatures prints methods for people. Remote interfaces inside are printed one level deep.
func (d *description) signatures(methods []methodInfo, deep bool) string {
	list := func(types []int) string {
		var s []string
		for _, i := range types {
			text := kindNames[0]
			if t := d.types[i]; t.kind > 0 && t.kind < len(kindNames) {
				text = kindNames[t.kind]
				if t.kind == kindRemote && deep {
					text += "{" + d.signatures(t.methods, false) + "}"
				}
			}
			s = append(s, text)
		}
		return "(" + strings.Join(s, ", ") + ")"
	}
	var s []string
	for _, m := range methods {
		s = append(s, m.name+list(m.params)+list(m.results))
	}
	return strings.Join(s, " ")
}

func (d *description) String() string { return d.signatures(d.methods, true) }

type hash = [sha256.Size]byte

// fingerprint is equal for interfaces with the same methods.
func (d *description) fingerprint() [16]byte {
	of := make([]hash, len(d.types))
	for i, t := range d.types {
		of[i] = sha256.Sum256([]byte{byte(t.kind)})
	}
	for range 64 {
		next := make([]hash, len(of))
		for i, t := range d.types {
			b := binary.AppendUvarint([]byte{byte(t.kind)}, uint64(t.size))
			switch t.kind {
			case kindList, kindArray:
				b = appendHashes(b, of, t.elem)
			case kindMap:
				b = appendHashes(b, of, t.key, t.elem)
			case kindStruct, kindTuple:
				fields := slices.Clone(t.fields)
				if t.kind == kindStruct {
					slices.SortFunc(fields, func(x, y fieldInfo) int { return strings.Compare(x.name, y.name) })
				}
				b = binary.AppendUvarint(b, uint64(len(fields)))
				for _, f := range fields {
					b = append(appendString(b, f.name), of[f.of][:]...)
				}
			case kindRemote:
				b = appendMethods(b, of, t.methods)
			}
			next[i] = sha256.Sum256(b)
		}
		of = next
	}
	sum := sha256.Sum256(appendMethods(nil, of, d.methods))
	return [16]byte(sum[:16])
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendHashes(b []byte, of []hash, types ...int) []byte {
	b = binary.AppendUvarint(b, uint64(len(types)))
	for _, t := range types {
		b = append(b, of[t][:]...)
	}
	return b
}

func appendMethods(b []byte, of []hash, methods []methodInfo) []byte {
	b = binary.AppendUvarint(b, uint64(len(methods)))
	for _, m := range methods {
		b = appendHashes(appendHashes(appendString(b, m.name), of, m.params...), of, m.results...)
	}
	return b
}

// has reports whether the description has all these signatures.
func (d *description) has(signatures ...string) bool {
	all := make(map[string]bool)
	for _, m := range d.methods {
		all[d.signatures([]methodInfo{m}, true)] = true
	}
	return !slices.ContainsFunc(signatures, func(s string) bool { return !all[s] })
}
