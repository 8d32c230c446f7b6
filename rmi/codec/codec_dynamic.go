package codec

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
)

// EncodeAny writes arguments for a call by name, when the caller's program does not know
// the parameter types. Each value travels as its dynamic type does. So do
// the elements of a []any and the values of a map[string]any. They carry no type
// names, as values of a parameter of type any would. So a struct can be passed as a map.
func EncodeAny(e *Encoder, values []any) error {
	if err := e.array(len(values)); err != nil {
		return failure(e.sized(err), "arguments", fault.KindInvalid, fault.OutcomeNotExecuted)
	}
	for i, v := range values {
		if err := e.dynamic(v); err != nil {
			return failure(e.sized(err), numbered("argument", i), fault.KindInvalid, fault.OutcomeNotExecuted)
		}
	}
	e.depth--
	return nil
}

func (e *Encoder) dynamic(v any) error {
	switch v := v.(type) {
	case nil:
		return e.nil()
	case []any:
		if v == nil {
			return e.nil()
		}
		if err := e.array(len(v)); err != nil {
			return err
		}
		for i, elem := range v {
			if err := e.dynamic(elem); err != nil {
				return withinIndex(err, i)
			}
		}
		e.depth--
		return nil
	case map[string]any:
		if v == nil {
			return e.nil()
		}
		if err := e.enter(2 * len(v)); err != nil {
			return err
		}
		if err := e.mapLen(len(v)); err != nil {
			return err
		}
		for key, elem := range v {
			err := e.string(key)
			if err == nil {
				err = e.dynamic(elem)
			}
			if err != nil {
				return withinKey(err, reflect.ValueOf(key))
			}
		}
		e.depth--
		return nil
	}
	value := reflect.ValueOf(v)
	p, err := planOf(value.Type())
	if err != nil {
		return refuse(fault.KindInvalid, "%v", err)
	}
	return p.enc(e, value)
}

// DecodeAny reads what a call by name returned: nil, bool, int64 (uint64 above
// its range), float64, string, []byte, time.Time, refs.Ref, []any, and
// map[string]any, or map[any]any if a key is not a string. Structs become maps.
// Errors have kind BadArguments or TooLarge and outcome Unknown.
func DecodeAny(d *Decoder) ([]any, error) {
	v, err := d.dynamic()
	if err != nil {
		return nil, failure(err, "", fault.KindBadArguments, fault.OutcomeUnknown)
	}
	values, ok := v.([]any)
	if !ok {
		return nil, fault.New(fault.KindBadArguments, fault.OutcomeUnknown, "the body holds a %T, not an array of values", v)
	}
	return values, nil
}

const (
	sizeAny   = 16 // bytes of an interface value
	sizeBoxed = 24 // bytes of what it points to, at most, other than lists, maps and strings
)

// dynamic recurses no deeper than the scan's limit of nesting.
func (d *Decoder) dynamic() (any, error) {
	h, err := d.head()
	if err == nil {
		err = d.charge(1, sizeBoxed)
	}
	if err != nil {
		return nil, err
	}
	switch h.class {
	case classNil:
		return nil, nil
	case classBool:
		return h.n != 0, nil
	case classInt:
		return int64(h.n), nil
	case classUint:
		if int64(h.n) < 0 {
			return h.n, nil
		}
		return int64(h.n), nil
	case classFloat32:
		return float64(math.Float32frombits(uint32(h.n))), nil
	case classFloat64:
		return math.Float64frombits(h.n), nil
	case classArray:
		return d.dynamicArray(h)
	case classMap:
		return d.dynamicMap(h)
	case classExt:
		d.r.pos -= h.size
		if h.ext == extTime {
			return dynamicAs[time.Time](d)
		}
		return dynamicAs[refs.Ref](d)
	}
	b, err := d.payload(h)
	if err == nil {
		err = d.charge(len(b), 1)
	}
	if err != nil {
		return nil, err
	}
	if h.class == classString {
		return string(b), nil
	}
	return slices.Clone(b), nil
}

func dynamicAs[T any](d *Decoder) (any, error) {
	p, err := planOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if err := d.charge(1, p.typ.Size()); err != nil {
		return nil, err
	}
	v := reflect.New(p.typ).Elem()
	err = p.dec(d, v)
	return v.Interface(), err
}

func (d *Decoder) dynamicArray(h valueHead) (any, error) {
	n := int(h.n)
	if err := d.charge(n, sizeAny); err != nil {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		v, err := d.dynamic()
		if err != nil {
			return nil, within(err, "["+strconv.Itoa(i)+"]")
		}
		list[i] = v
	}
	return list, nil
}

func (d *Decoder) dynamicMap(h valueHead) (any, error) {
	n := int(h.n)
	if err := d.charge(n, 2*(2*sizeAny+mapEntry)); err != nil {
		return nil, err
	}
	named := make(map[string]any, n)
	var mixed map[any]any // instead, from the first key that is no string
	for i := range n {
		key, err := d.dynamic()
		if err != nil {
			return nil, within(err, "[key]")
		}
		s, isString := key.(string)
		if !isString && mixed == nil {
			if err := d.charge(n, 2*(2*sizeAny+mapEntry)); err != nil {
				return nil, err
			}
			mixed = make(map[any]any, n)
			for k, v := range named {
				mixed[k] = v
			}
		}
		if key == nil || !reflect.TypeOf(key).Comparable() || key != key {
			return nil, refuse(fault.KindBadArguments, "a %T as a map's key", key)
		}
		v, err := d.dynamic()
		if err != nil {
			return nil, withinKey(err, reflect.ValueOf(key))
		}
		size := 0
		if mixed != nil {
			mixed[key] = v
			size = len(mixed)
		} else {
			named[s] = v
			size = len(named)
		}
		if size != i+1 {
			return nil, withinKey(refuse(fault.KindBadArguments, "the key comes twice"), reflect.ValueOf(key))
		}
	}
	if mixed != nil {
		return mixed, nil
	}
	return named, nil
}
