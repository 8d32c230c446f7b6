package codec

import (
	"reflect"

	"gormi/rmi/fault"
)

// maxPointers is how many pointers may follow each other in a type. Otherwise a type made of
// pointers only (type P *P) would never end.
const maxPointers = 8

func (c *compiler) fillPointer(p *plan) {
	t := p.typ
	for n := 0; t.Kind() == reflect.Pointer; t = t.Elem() {
		if n++; n > maxPointers {
			c.cannot("%v is more than %d pointers deep", p.typ, maxPointers)
			return
		}
	}
	elem := c.plan(p.typ.Elem())
	p.kind, p.elem = kindPointer, elem
	p.empty = reflect.Value.IsNil
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return elem.enc(e, v.Elem())
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		if err := d.charge(1, elem.typ.Size()); err != nil {
			return err
		}
		target := reflect.New(elem.typ)
		if err := elem.dec(d, target.Elem()); err != nil {
			return err
		}
		if target.Type() != v.Type() { // a named pointer type
			target = target.Convert(v.Type())
		}
		v.Set(target)
		return nil
	}
}

func emptyByLength(v reflect.Value) bool { return v.Len() == 0 }

func (c *compiler) fillSlice(p *plan) {
	p.empty = emptyByLength
	if p.typ.Elem().Kind() == reflect.Uint8 {
		fillBytes(p)
		return
	}
	elem := c.planInside("[]", p.typ.Elem())
	p.kind, p.elem = KindList, elem
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return elem.encodeEach(e, v)
	}
	size := elem.typ.Size()
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		n, err := d.sliceLength(p.typ, size)
		if err != nil {
			return err
		}
		v.Set(reflect.MakeSlice(p.typ, n, n))
		return elem.decodeEach(d, v, n)
	}
}

// sliceLength reads the head of a list. size is that of an element in memory.
func (d *Decoder) sliceLength(t reflect.Type, size uintptr) (int, error) {
	n, err := d.length(classArray, t)
	if err == nil {
		err = d.charge(n, size)
	}
	return n, err
}

// encodeEach writes the elements of an array or slice.
func (p *plan) encodeEach(e *Encoder, v reflect.Value) error {
	n := v.Len()
	if err := e.array(n); err != nil {
		return err
	}
	for i := range n {
		if err := p.enc(e, v.Index(i)); err != nil {
			return withinIndex(err, i)
		}
	}
	e.depth--
	return nil
}

func (p *plan) decodeEach(d *Decoder, v reflect.Value, n int) error {
	for i := range n {
		if err := p.dec(d, v.Index(i)); err != nil {
			return withinIndex(err, i)
		}
	}
	return nil
}

func fillBytes(p *plan) {
	p.kind = KindBytes
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return e.bytes(v.Bytes())
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		b, err := d.ownBytes(p.typ)
		if b != nil {
			v.SetBytes(b)
		}
		return err
	}
}

// ownBytes reads binary data as the receiver's own. It returns nil for a nil.
func (d *Decoder) ownBytes(t reflect.Type) ([]byte, error) {
	b, err := d.binary(t)
	if b == nil || err != nil {
		return nil, err
	}
	if err := d.charge(len(b), 1); err != nil {
		return nil, err
	}
	if d.owned && len(b) > ownAbove && 2*len(b) > len(d.r.b) {
		d.taken = true
		return b[:len(b):len(b)], nil
	}
	return append([]byte{}, b...), nil // not nil for none
}

// ownAbove is the size in bytes above which binary data is not copied if it is most of a body. It
// then keeps the body's memory.
const ownAbove = 16 << 10

// binary reads binary data and returns it inside the body. It returns nil for a nil.
func (d *Decoder) binary(t reflect.Type) ([]byte, error) {
	h, err := d.head()
	if err != nil || h.class == classNil {
		return nil, err
	}
	if h.class != classBinary {
		return nil, unexpected(h, t)
	}
	return d.payload(h)
}

func (c *compiler) fillArray(p *plan) {
	size := p.typ.Len()
	p.empty = emptyByLength
	if p.typ.Elem().Kind() == reflect.Uint8 {
		fillByteArray(p)
		return
	}
	elem := c.planInside("[]", p.typ.Elem())
	p.kind, p.elem = KindArray, elem
	p.enc = func(e *Encoder, v reflect.Value) error { return elem.encodeEach(e, v) }
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		if err := d.arrayLength(p.typ, size); err != nil {
			return err
		}
		return elem.decodeEach(d, v, size)
	}
}

// arrayLength reads the head of an array of exactly size elements.
func (d *Decoder) arrayLength(t reflect.Type, size int) error {
	n, err := d.length(classArray, t)
	if err == nil && n != size {
		err = refuse(fault.KindBadArguments, "got %d elements for a %s", n, typeName(t))
	}
	return err
}

func fillByteArray(p *plan) {
	size := p.typ.Len()
	p.kind = KindByteArray
	p.enc = func(e *Encoder, v reflect.Value) error {
		if !v.CanAddr() {
			v = addressable(v)
		}
		return e.bytes(v.Slice(0, size).Bytes())
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		return d.intoBytes(v.Slice(0, size).Bytes())
	}
}

// intoBytes fills a byte array with binary data of its length.
func (d *Decoder) intoBytes(to []byte) error {
	b, err := d.binary(typeBytes)
	if b == nil || err != nil {
		return err
	}
	if len(b) != len(to) {
		return refuse(fault.KindBadArguments, "got %d bytes for a [%d]byte", len(b), len(to))
	}
	copy(to, b)
	return nil
}

func addressable(v reflect.Value) reflect.Value {
	a := reflect.New(v.Type()).Elem()
	a.Set(v)
	return a
}

// mapEntry is what an entry of a map costs besides key and value, in bytes. That is a control byte,
// at a load between 7/16 and 7/8, and its share of the table.
const mapEntry = 16

func (c *compiler) fillMap(p *plan) {
	p.empty = emptyByLength
	key := c.planInside("[key]", p.typ.Key())
	elem := c.planInside("[]", p.typ.Elem())
	p.kind, p.key, p.elem = KindMap, key, elem
	switch k := key.kind; {
	case k >= KindBool && k <= KindUint64, k == KindString, k == KindByteArray, k == KindBinary, k == KindText:
	case key.enc != nil:
		c.cannot("a map's key is a string, an integer, a bool or a type with a text form, not %s", typeName(p.typ.Key()))
		return
	}
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return p.encodeMap(e, v)
	}
	p.dec = p.decodeMap
}

func (p *plan) encodeMap(e *Encoder, v reflect.Value) error {
	n := v.Len()
	if err := e.enter(2 * n); err != nil {
		return err
	}
	if err := e.mapLen(n); err != nil {
		return err
	}
	key, elem := reflect.New(p.key.typ).Elem(), reflect.New(p.elem.typ).Elem()
	for it := v.MapRange(); it.Next(); n-- {
		key.SetIterKey(it)
		elem.SetIterValue(it)
		err := p.key.enc(e, key)
		if err == nil {
			err = p.elem.enc(e, elem)
		}
		if err != nil {
			return withinKey(err, key)
		}
	}
	if n != 0 {
		return errChanged()
	}
	e.depth--
	return nil
}

func errChanged() error { return refuse(fault.KindInvalid, "the map was changed while it was encoded") }

func (p *plan) decodeMap(d *Decoder, v reflect.Value) error {
	if d.null() {
		return nil
	}
	n, err := d.mapLength(p.typ, p.key.typ.Size()+p.elem.typ.Size())
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(p.typ, n)
	key, elem := reflect.New(p.key.typ).Elem(), reflect.New(p.elem.typ).Elem()
	for i := range n {
		key.SetZero()
		elem.SetZero()
		if err := p.key.dec(d, key); err != nil {
			return within(err, "[key]")
		}
		if err := p.elem.dec(d, elem); err != nil {
			return withinKey(err, key)
		}
		m.SetMapIndex(key, elem)
		if m.Len() != i+1 {
			return withinKey(errTwice(), key)
		}
	}
	v.Set(m)
	return nil
}

func errTwice() error { return refuse(fault.KindBadArguments, "the key comes twice") }

// mapLength reads the head of a map. size is that of a key and a value together in memory.
func (d *Decoder) mapLength(t reflect.Type, size uintptr) (int, error) {
	n, err := d.length(classMap, t)
	if err == nil {
		// Tables are at most 7/8 full, and double. So count twice the entries.
		err = d.charge(n, 2*(size+mapEntry))
	}
	return n, err
}
