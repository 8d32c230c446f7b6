package codec

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

type (
	Account interface {
		Deposit(ctx context.Context, cents int64) (int64, error)
		Watch(ctx context.Context, opts Opts, f func(ctx context.Context, balance int64) error) (Subscription, error)
		Tag(ctx context.Context, tags ...string) error
	}
	Subscription interface {
		Cancel(context.Context) error
		Owner(context.Context) (Account, error)
	}
	Opts struct {
		Size int64
		Next *Opts
	}
	AccountFuncs struct {
		Watch   func(ctx context.Context, opts Opts, f func(ctx context.Context, balance int64) error) (Subscription, error)
		Deposit func(ctx context.Context, cents int64) (int64, error)
		Tag     func(ctx context.Context, tags ...string) error
	}
)

func describe[T any](t testing.TB) *Description {
	t.Helper()
	i, err := InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i.Description()
}

func TestInterfaceOfListsTheMethods(t *testing.T) {
	i, err := InterfaceOf(reflect.TypeFor[Account]())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Deposit(int64) (int64)", "Tag(...string)", "Watch(codec.Opts, func(int64)) (codec.Subscription)"}
	for at, m := range i.Methods {
		if m.Signature() != want[at] || m.Index != at || i.ByID(m.ID) != m || i.ByName(m.Name) != m || m.Interface != i {
			t.Errorf("method %d is %+v", at, m)
		}
	}
	if i.Name != "codec.Account" || i.ByName("Missing") != nil || i.ByID(wire.DescribeID) != nil {
		t.Errorf("got %+v", i)
	}
	if again, _ := InterfaceOf(reflect.TypeFor[Account]()); again != i {
		t.Error("another *Interface for the same type")
	}
	f, err := InterfaceOf(reflect.TypeFor[func(context.Context, int64) (string, error)]())
	if err != nil || f.Name != "func(int64) (string)" || f.Methods[0].Name != "Call" {
		t.Errorf("got %+v, %v", f, err)
	}
	s, err := InterfaceOf(reflect.TypeFor[AccountFuncs]())
	if err != nil || s.Fingerprint != i.Fingerprint {
		t.Errorf("a struct of funcs has another fingerprint: %v", err)
	}
	g, err := InterfaceOf(reflect.TypeFor[interface {
		Get(context.Context) (pair[refs.Ref, map[string]Opts], error)
	}]())
	if err != nil || g.Methods[0].Signature() != "Get() (codec.pair[refs.Ref,map[string]codec.Opts])" {
		t.Errorf("got %v, %v", g, err)
	}
}

func TestRulesAreNamedForEveryProblem(t *testing.T) {
	type bad interface {
		NoContext(int) error
		NoError(context.Context)
		Both(chan int) int
		hidden(context.Context) error
	}
	_, err := InterfaceOf(reflect.TypeFor[bad]())
	wantError(t, err, fault.KindInvalid, "codec.bad cannot be a remote interface:",
		"\nrule 2: NoContext: the first parameter is not a context.Context",
		"\nrule 3: NoError: the last result is not an error",
		"\nrule 2: Both:", "\nrule 3: Both:", "\nrule 4: Both: argument 1: channels",
		"\nrule 1: the method hidden of codec.bad is not exported")
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[any](), "rule 1: any has no methods"},
		{reflect.TypeFor[*notifier](), "rule 1: *codec.notifier is a ptr; name the interface"},
		{reflect.TypeFor[notifier](), "rule 1: codec.notifier has no methods"},
		{reflect.TypeFor[struct{ X int }](), "is not a func, but a int"},
		{reflect.TypeFor[func()](), "rule 2"},
	} {
		_, err := InterfaceOf(test.typ)
		wantError(t, err, fault.KindInvalid, test.want)
	}
	_, err = InterfaceOf(reflect.TypeFor[interface {
		Ichlxlh(context.Context) error
		Qyggpca(context.Context) error
		Fvhmpow(context.Context) error
	}]())
	wantError(t, err, fault.KindInvalid, "rule 5: Qyggpca: its name hashes to the same number as Ichlxlh", "rule 5: Fvhmpow: its name hashes to 0")
	many := reflect.TypeFor[func(context.Context) error]()
	var fields []reflect.StructField
	for i := range 256 {
		fields = append(fields, reflect.StructField{Name: "M" + strings.Repeat("x", i), Type: many})
	}
	_, err = InterfaceOf(reflect.StructOf(fields))
	wantError(t, err, fault.KindInvalid, "rule 6: ", "256 methods, more than 255", "the name is longer than 255 bytes")
}

func TestFingerprintsAreOfTheWireAndStable(t *testing.T) {
	type other struct {
		Next *other `msgpack:"Next"`
		Big  int    `msgpack:"Size"`
	}
	type unrolled struct {
		Size int64
		Next *Opts
	}
	base := describe[func(context.Context, Opts) error](t)
	if got := base.Fingerprint().String(); got != "6a23a44c035ea357c4300d33bc78a6e5" {
		t.Errorf("the fingerprint changed: %s", got)
	}
	for _, d := range []*Description{
		describe[func(context.Context, *Opts) error](t),
		describe[func(context.Context, other) error](t),
		describe[func(context.Context, unrolled) error](t),
		describe[interface {
			Call(context.Context, Opts) error
		}](t),
	} {
		if d.Fingerprint() != base.Fingerprint() {
			t.Errorf("another fingerprint:\n%s", d)
		}
	}
	for _, d := range []*Description{
		describe[func(context.Context, []Opts) error](t),
		describe[func(context.Context, Opts) (int, error)](t),
		describe[func(context.Context, struct{ Size int64 }) error](t),
		describe[func(context.Context, struct {
			Size int32
			Next *Opts
		}) error](t),
		describe[interface {
			Run(context.Context, Opts) error
		}](t),
	} {
		if d.Fingerprint() == base.Fingerprint() {
			t.Errorf("the same fingerprint:\n%s", d)
		}
	}
	if f := describe[Account](t).Fingerprint(); f == describe[Subscription](t).Fingerprint() || f.IsZero() {
		t.Error("not told apart")
	}
}

func TestDescriptionsRoundTrip(t *testing.T) {
	for _, d := range []*Description{describe[Account](t), describe[func(context.Context, tree, wide, [3]byte, [2]int, any, error, listening) (tuple, error)](t),
		describe[func(context.Context, map[string][]Opts, ring, textual, msgpack2) error](t)} {
		b, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDescription(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.Fingerprint() != d.Fingerprint() || got.String() != d.String() {
			t.Errorf("got\n%s, want\n%s", got, d)
		}
		if err := d.Accepts(got); err != nil {
			t.Error(err)
		}
		for n := range b {
			if _, err := ParseDescription(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes pass", n, len(b))
			}
		}
	}
}

type textual struct{ X int }

func (textual) MarshalText() ([]byte, error) { return nil, nil }
func (*textual) UnmarshalText([]byte) error  { return nil }

func TestDescriptionReadsLikeGo(t *testing.T) {
	want := `type codec.Account interface {
	Deposit(int64) (int64)
	Tag(...string)
	Watch(codec.Opts, func(int64)) (codec.Subscription)
}

type codec.Opts struct {
	Size int64
	Next codec.Opts
}

type codec.Subscription interface {
	Cancel()
	Owner() (codec.Account)
}
`
	if got := describe[Account](t).String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestHostileDescriptionsAreRefused(t *testing.T) {
	for body, want := range map[string]string{
		"\x94\x02\xa1x\x90\x90":                                                       "version 2",
		"\x93\x01\xa1x\x90":                                                           "with 3 parts",
		"\x94\x01\xa1\n\x90\x90":                                                      "not printable",
		"\x94\x01\xa1x\x91\x90\x90":                                                   "a type without a kind",
		"\x94\x01\xa1x\x91\x91\x00\x90":                                               "kind 0",
		"\x94\x01\xa1x\x91\x93\x13\xa0\x01\x90":                                       "the number 1, want one below 1",
		"\x94\x01\xa1x\x91\x93\x13\xa0\xff\x90":                                       "got an integer",
		"\x94\x01\xa1x\x90\x91\x94\xa1m\xc2\x91\x00\x90":                              "want one below 0",
		"\x94\x01\xa1x\x90\x92\x94\xa1m\xc2\x90\x90\x94\xa1m\xc2\x90\x90":             "twice or out of order",
		"\x94\x01\xa1x\xdd\xff\xff\xff\xff\x90":                                       "array of 4294967295",
		"\x94\x01\xa1x\x91\x96\x16\xa0\x00\x00\x00\x92\x92\xa1f\x00\x92\xa1f\x00\x90": "comes twice",
		strings.Repeat("\x91", 1000) + "\xc0":                                         "nests deeper",
		strings.Repeat("\xc0", 70<<10):                                                "above the limit of 65536",
	} {
		_, err := ParseDescription([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", body, err, want)
		}
	}
	var types strings.Builder
	types.WriteString("\x94\x01\xa1x\xdc\x10\x01")
	types.WriteString(strings.Repeat("\x91\x01", 4097) + "\x90")
	_, err := ParseDescription([]byte(types.String()))
	wantError(t, err, fault.KindProtocol, "4097 types, more than 4096")
}

// TestDescriptionsThatExplode doubles with every type: written out or compared
// naively they would take 2^40 steps.
func TestDescriptionsThatExplode(t *testing.T) {
	d := &Description{Name: "x"}
	for i := range 40 {
		d.Types = append(d.Types, DescribedType{Kind: KindStruct, Fields: []DescribedField{{"A", i + 1}, {"B", i + 1}}})
	}
	d.Types = append(d.Types, DescribedType{Kind: KindInt8})
	d.Methods = []DescribedMethod{{Name: "M", Params: []int{0}}}
	b, _ := d.MarshalBinary()
	other, err := ParseDescription(b)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.String()); n > 2*maxText {
		t.Errorf("the text has %d bytes", n)
	}
	if err := d.Accepts(other); err != nil {
		t.Error(err)
	}
	other.Types[40].Kind = KindInt16
	wantError(t, d.Accepts(other), fault.KindMismatch, "int16 for the caller, int8 for the owner")
}

func TestAgreement(t *testing.T) {
	type (
		opts32   struct{ Size int32 }
		optsMore struct {
			Size  int64
			Extra string
		}
		Listener interface {
			Notify(context.Context, int) error
		}
		ListenerMore interface {
			Notify(context.Context, int) error
			Closed(context.Context) error
		}
		ListenerText interface {
			Notify(context.Context, string) error
		}
	)
	for name, test := range map[string]struct {
		owner, caller *Description
		want          []string // of the error; none if they agree
	}{
		"equal": {describe[Account](t), describe[Account](t), nil},
		"a subset of the methods": {describe[Account](t), describe[interface {
			Deposit(context.Context, int64) (int64, error)
		}](t), nil},
		"int is int64": {describe[Account](t), describe[interface {
			Deposit(context.Context, int) (int, error)
		}](t), nil},
		"a struct of funcs": {describe[Account](t), describe[AccountFuncs](t), nil},
		"a missing method": {describe[Subscription](t), describe[Account](t),
			[]string{"the caller's codec.Account does not fit the owner's codec.Subscription:", "Deposit: the caller has Deposit(int64) (int64), the owner has no such method"}},
		"another argument": {describe[Account](t), describe[interface {
			Deposit(context.Context, string) (int64, error)
		}](t), []string{"Deposit: the caller has Deposit(string) (int64), the owner has Deposit(int64) (int64): argument 1: string for the caller, int64 for the owner"}},
		"another width": {describe[Account](t), describe[interface {
			Deposit(context.Context, int64) (int32, error)
		}](t), []string{"result 1: int32 for the caller, int64 for the owner"}},
		"another arity": {describe[Account](t), describe[interface {
			Deposit(context.Context, int64, bool) (int64, error)
		}](t), []string{"2 arguments for the caller, 1 argument for the owner"}},
		"a field": {describe[func(context.Context, []Opts) error](t), describe[func(context.Context, []opts32) error](t),
			[]string{"Call([]codec.opts32{Size int32})", "Call([]codec.Opts{Size int64; …})", "argument 1[].Size: int32 for the caller, int64 for the owner"}},
		"extra fields":           {describe[func(context.Context, Opts) error](t), describe[func(context.Context, optsMore) error](t), nil},
		"fewer fields":           {describe[func(context.Context, optsMore) error](t), describe[func(context.Context, opts32) error](t), []string{"argument 1: Size: int32"}},
		"array lengths":          {describe[func(context.Context, [2]int) error](t), describe[func(context.Context, [3]int) error](t), []string{"[3]int64 for the caller, [2]int64 for the owner"}},
		"lengths of byte arrays": {describe[func(context.Context, [2]byte) error](t), describe[func(context.Context, [3]byte) error](t), []string{"[3]byte for the caller, [2]byte for the owner"}},
		"tuples":                 {describe[func(context.Context, tuple) error](t), describe[func(context.Context, tupleMore) error](t), nil},
		"tuples in another order": {describe[func(context.Context, tuple) error](t), describe[func(context.Context, struct {
			_msgpack struct{} `msgpack:",as_array"`
			Y, X     int
		}) error](t), []string{"field 1: Y for the caller, X for the owner"}},
		"a tuple and a struct": {describe[func(context.Context, tuple) error](t), describe[func(context.Context, Opts) error](t),
			[]string{"codec.Opts (a struct) for the caller, codec.tuple (a tuple) for the owner"}},
		"recursion":                       {describe[func(context.Context, tree) error](t), describe[func(context.Context, *tree) error](t), nil},
		"a passed listener may have more": {describe[func(context.Context, Listener) error](t), describe[func(context.Context, ListenerMore) error](t), nil},
		"a passed listener may not lack a method": {describe[func(context.Context, ListenerMore) error](t), describe[func(context.Context, Listener) error](t),
			[]string{"argument 1: Closed: no such method for the caller, Closed() for the owner"}},
		"a returned object may have more": {describe[func(context.Context) (ListenerMore, error)](t), describe[func(context.Context) (Listener, error)](t), nil},
		"a returned object may not lack a method": {describe[func(context.Context) (Listener, error)](t), describe[func(context.Context) (ListenerMore, error)](t),
			[]string{"result 1: Closed: Closed() for the caller, no such method for the owner"}},
		"a listener's argument": {describe[func(context.Context, Listener) error](t), describe[func(context.Context, ListenerText) error](t),
			[]string{"argument 1: Notify: argument 1: string for the caller, int64 for the owner"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.owner.Accepts(test.caller)
			if test.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, fault.KindMismatch, test.want...)
			if fault.OutcomeOf(err) != fault.OutcomeNotExecuted {
				t.Errorf("outcome %v", fault.OutcomeOf(err))
			}
		})
	}
}

// Of interfaces with much in them an error shows what does not fit.
func TestALongInterfaceIsCutToWhatDiffers(t *testing.T) {
	type account struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P int64
		Balance                                        int64
		Q, R, S, T, U, V, W, X, Y, Z                   []struct{ From, To, By, At, Why, Note string }
	}
	type accountText struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P int64
		Balance                                        string
		Q, R, S, T, U, V, W, X, Y, Z                   []struct{ From, To, By, At, Why, Note string }
	}
	type many = interface {
		Aa(context.Context, account) error
		Bb(context.Context, struct{ A, B, C, D, E, F, G, H int64 }) (account, error)
		Cc(context.Context, account, account, account) ([]account, error)
		Open(context.Context, struct{ A, B, C, D, E, F, G, H int64 }, account) error
	}
	type manyText = interface {
		Aa(context.Context, account) error
		Bb(context.Context, struct{ A, B, C, D, E, F, G, H int64 }) (account, error)
		Cc(context.Context, account, account, account) ([]account, error)
		Open(context.Context, struct{ A, B, C, D, E, F, G, H int64 }, accountText) error
	}
	err := describe[many](t).Accepts(describe[manyText](t))
	wantError(t, err, fault.KindMismatch,
		"Open: the caller has Open(struct{A int64; B int64; C int64; D int64; …}, codec.accountText{…; Balance string; …})",
		"the owner has Open(struct{A int64; B int64; C int64; D int64; …}, codec.account{…; Balance int64; …})",
		"argument 2: Balance: string for the caller, int64 for the owner")
	if err != nil && (len(err.Error()) > 600 || strings.Contains(err.Error(), "Bb:")) {
		t.Errorf("%d bytes: %v", len(err.Error()), err)
	}
	m := describe[many](t).Methods[1]
	if s := describe[many](t).Signature(m); s != "Bb(struct{A int64; B int64; C int64; D int64; …}) (codec.account)" {
		t.Errorf("the signature is %q", s)
	}
	if s := describe[many](t).String(); !strings.Contains(s, "struct{A int64; B int64; C int64; D int64; E int64; F int64; G int64; H int64}") {
		t.Errorf("the whole interface is cut:\n%s", s)
	}
}

func TestInterfacesAreCompiledOnceByManyAtATime(t *testing.T) {
	type concurrent interface {
		Next(context.Context, []concurrentArg) (Account, error)
	}
	all := make([]*Interface, 8)
	var wg sync.WaitGroup
	for n := range all {
		wg.Go(func() { all[n], _ = InterfaceOf(reflect.TypeFor[concurrent]()) })
	}
	wg.Wait()
	for _, i := range all {
		if i == nil || i != all[0] {
			t.Fatalf("got %v and %v", i, all[0])
		}
	}
}

type concurrentArg struct{ Next []concurrentArg }

// The order of a tuple's fields is part of what it is; that of a struct's is not.
func TestTheFingerprintCoversTheNamesOfATuple(t *testing.T) {
	type straight struct {
		_msgpack struct{} `msgpack:",as_array"`
		X, Y     int
	}
	type swapped struct {
		_msgpack struct{} `msgpack:",as_array"`
		Y, X     int
	}
	_, _ = straight{}._msgpack, swapped{}._msgpack
	if describe[func(context.Context, straight) error](t).Fingerprint() == describe[func(context.Context, swapped) error](t).Fingerprint() {
		t.Error("tuples of another order have one fingerprint")
	}
	if describe[func(context.Context, struct{ X, Y int }) error](t).Fingerprint() != describe[func(context.Context, struct{ Y, X int }) error](t).Fingerprint() {
		t.Error("structs of another order have two fingerprints")
	}
}
