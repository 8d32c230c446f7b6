package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const bank = `# Tellers serve the accounts.
group @tellers spiffe://bank/teller-1 "Head Teller"
group @tellers spiffe://bank/teller-2   # and another
group @auditors spiffe://bank/teller-2

allow @local    all          *
allow @tellers  bind,rebind  bank/*
allow @known    lookup,list  bank/* shop/*
deny  trainee   lookup       bank/vault
allow @auditors lookup       bank/vault
deny  @auditors lookup       bank/*      # vault is nearer
deny  @everyone unbind       bank/v*
allow uid:1000  unbind       bank/vault
allow anonymous lookup       bank
deny  @known    watch        *
allow teller-9  watch        *
`

func TestRulesDecide(t *testing.T) {
	p, err := Parse("bank", bank)
	if err != nil {
		t.Fatal(err)
	}
	here, away := true, false
	for _, c := range []struct {
		who   string
		local bool
		op    Op
		name  string
		want  bool
		why   string
	}{
		{"spiffe://bank/teller-1", away, Bind, "bank/alice", true, "line 7:"},
		{"spiffe://bank/teller-2", away, Rebind, "bank/alice", true, "line 7:"},
		{"Head Teller", away, Bind, "bank/a/b/c", true, "line 7:"},
		{"spiffe://bank/teller-3", away, Bind, "bank/alice", false, "no rule"},
		{"spiffe://bank/teller-1", away, Unbind, "bank/alice", false, "no rule"},
		{"spiffe://bank/teller-1", away, Bind, "bank", false, "no rule"},
		{"spiffe://bank/teller-1", away, Bind, "bankrupt", false, "no rule"},
		{"spiffe://bank/teller-1", away, Bind, "shop/alice", false, "no rule"},
		{"spiffe://bank/teller-3", away, Lookup, "bank/vault", true, "line 8:"},
		{"trainee", away, Lookup, "bank/vault", false, "line 9:"}, // a name beats its beginning
		{"trainee", away, Lookup, "bank/alice", true, "line 8:"},
		{"spiffe://bank/teller-2", away, Lookup, "bank/vault", true, "line 10:"}, // the same, the other way
		{"spiffe://bank/teller-2", away, Lookup, "bank/alice", false, "line 11:"},
		{"spiffe://bank/teller-2", away, Lookup, "shop/alice", true, "line 8:"},
		{"whoever", here, Unbind, "bank/alice", true, "line 6:"},
		{"whoever", here, Unbind, "bank/vault", false, "line 12:"}, // longer beats shorter
		{"uid:1000", here, Unbind, "bank/vault", true, "line 13:"},
		{"uid:1000", here, Unbind, "bank/vaults", false, "line 12:"},
		{"anonymous", away, Lookup, "bank", true, "line 14:"},
		{"anonymous", away, Lookup, "bank/alice", false, "no rule"},
		{"", away, Lookup, "bank/alice", false, "no rule"},
		{"teller-9", away, Watch, "x", false, "line 15:"}, // deny beats allow
		{"anonymous", here, Watch, "x", true, "line 6:"},
	} {
		who := Peer{c.who, c.local}
		if got := p.Allows(who, c.op, c.name); got != c.want {
			t.Errorf("%+v may %v %s: %v, want %v", who, c.op, c.name, got, c.want)
		}
		if got, why := p.Explain(who, c.op, c.name); got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%+v may %v %s: %v because of %q, want %v, %q", who, c.op, c.name, got, why, c.want, c.why)
		}
	}
	for _, c := range []struct {
		who  Peer
		ops  Op
		want bool
	}{
		{Peer{"spiffe://bank/teller-1", away}, Bind, true},
		{Peer{"spiffe://bank/teller-1", away}, Unbind | Admin, false},
		{Peer{"spiffe://bank/teller-1", away}, Unbind | Bind, true},
		{Peer{"nobody", away}, List, true},
		{Peer{Anonymous, away}, List, false},
		{Peer{Anonymous, away}, Lookup, true},
		{Peer{Anonymous, here}, Admin, true},
	} {
		if got := p.AllowsSome(c.who, c.ops); got != c.want {
			t.Errorf("%+v may do some of %v: %v, want %v", c.who, c.ops, got, c.want)
		}
	}
}

// By default peers of the same machine do everything, and strangers nothing.
func TestDefault(t *testing.T) {
	for i := range opNames {
		op := Op(1 << i)
		for _, c := range []struct {
			who  Peer
			want bool
		}{
			{Peer{Anonymous, true}, true},
			{Peer{"uid:1000", true}, true},
			{Peer{Anonymous, false}, false},
			{Peer{"spiffe://bank/teller", false}, op&(Bind|Lookup|List|Watch) != 0},
		} {
			if got := Default().Allows(c.who, op, "bank/alice"); got != c.want {
				t.Errorf("%+v may %v: %v", c.who, op, got)
			}
		}
	}
}

// A text that is not right is refused whole, by an error that says where and what.
func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "p:1:1: there is no rule"},
		{"# nothing\ngroup @a b\n", "p:1:1: there is no rule"},
		{"allow @local all *\npermit a bind b\n", `p:2:1: unknown word "permit"`},
		{"  \"allow\" a bind b", `p:1:3: unknown word "allow"`},
		{"allow", "p:1:1: the line is not complete"},
		{"allow a bind", "p:1:9: the line is not complete"},
		{"allow a bnid b", `p:1:9: unknown word "bnid"`},
		{"allow a bind,,list b", `p:1:14: unknown word ""`},
		{"allow a bind,ünbind,list b", `p:1:14: unknown word "ünbind"`},
		{"allow a bind, list b", `p:1:14: unknown word ""`},
		{"allow a \"bind\" b", `p:1:9: unknown word "bind"`},
		{"allow a Bind b", `p:1:9: unknown word "Bind"`},
		{"allow @tellers bind b", `p:1:7: unknown group "@tellers"`},
		{"allow ü bind b\tc/\n", `p:1:16: "c/" is neither`},
		{"allow a bind b /c", `p:1:16: "/c" is neither`},
		{"allow a bind b//c", `p:1:14: "b//c" is neither`},
		{"allow a bind b//*", `p:1:14: "b//*" is neither`},
		{"allow a bind ../b", `the segment ".."`},
		{"allow a bind b*c", `p:1:14: "b*c" is neither`},
		{"allow a bind **", `p:1:14: "**" is neither`},
		{"allow a bind rmi://h/b", `the character ':'`},
		{"allow a bind \"b\"", "quotation marks"},
		{"allow a bind " + strings.Repeat("b", 256), "255 bytes"},
		{"allow \"a bind b", "p:1:7: the second quotation mark is missing"},
		{"allow \"a\"x bind b", "p:1:7: a blank must follow"},
		{"allow \"\" bind b", "p:1:7: nothing stands"},
		{"allow \"a\\n\" bind b", "p:1:7: in quotation marks"},
		{"allow a\"b\" bind b", "p:1:8: a quotation mark stands at the beginning"},
		{"allow a\xff bind b", "p:1:7: this is not UTF-8"},
		{"allow a\x00 bind b", `p:1:8: a character that cannot be printed: '\x00'`},
		{"allow a bind b\u202ec", `p:1:15: a character that cannot be printed: '\u202e'`},
		{"allow a bind b # \x00\ngroup", "p:2:1: a group is written"},
		{"group @a", "p:1:7: a group is written"},
		{"group a b", "p:1:7: the name of a group begins with @"},
		{"group @ b", "p:1:7: the name of a group begins with @"},
		{"group @known b", "p:1:7: @known is there already"},
		{"group @a b @c", "p:1:12: a group has principals in it"},
	} {
		_, err := Parse("p", c.text)
		var at *Error
		if !errors.As(err, &at) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
			t.Errorf("%.100q: got %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := Parse("p", strings.Repeat("#", maxSize+1)); err == nil {
		t.Error("a text of any length is taken")
	}
}

// Windows' ends of lines, no end of the last line, groups behind their use.
func TestFormsOfTheText(t *testing.T) {
	p, err := Parse("p", "\t allow\t@a bind x\r\n\r\ngroup @a \"A \\\"B\\\" \\\\\" # c")
	if err != nil {
		t.Fatal(err)
	}
	if p.Rules() != 1 || !p.Allows(Peer{Principal: `A "B" \`}, Bind, "x") || p.Allows(Peer{Principal: "#"}, Bind, "x") {
		t.Errorf("read %+v", p)
	}
	p, err = Parse("p", `deny "@known" all *`+"\n"+`allow @known all *`)
	if err != nil || p.Allows(Peer{Principal: "@known"}, Bind, "x") || !p.Allows(Peer{Principal: "k"}, Bind, "x") {
		t.Errorf("a principal in quotation marks is taken for a group: %v", err)
	}
	if _, why := p.Explain(Peer{Principal: "@known"}, Bind, "x"); why != `line 1: deny "@known" all *` {
		t.Error(why)
	}
}

func TestUniform(t *testing.T) {
	for text, want := range map[string]bool{
		defaultText: true, "deny a bind *": true, "allow a bind b": false, "allow a bind b*": false, "allow a bind *\ndeny a bind b": false, "allow a bind * b*": false,
	} {
		if p, err := Parse("p", text); err != nil || p.Uniform() != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy")
	if _, err := Load(file); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(bank), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Load(file); err != nil || p.Rules() != 11 {
		t.Error(p, err)
	}
	if err := os.WriteFile(file, []byte("allow a fly b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.HasPrefix(err.Error(), file+":1:9: ") {
		t.Error(err)
	}
}

// slowly decides by the words of rule 6, rule by rule.
func (p *Policy) slowly(who Peer, op Op, name string) bool {
	reach, allow, deny := -1, false, false
	for _, r := range p.rules {
		if r.ops&op == 0 || !who.is(r.subject, p.subjects[who.Principal]) {
			continue
		}
		for _, n := range r.names {
			at := -1
			if begin, ok := strings.CutSuffix(n, "*"); ok && strings.HasPrefix(name, begin) {
				at = len(begin)
			} else if n == name {
				at = 1000
			}
			if at < 0 || at < reach {
				continue
			}
			if at > reach {
				reach, allow, deny = at, false, false
			}
			if strings.HasPrefix(r.text, "allow") {
				allow = true
			} else {
				deny = true
			}
		}
	}
	return allow && !deny
}

// FuzzParse reads texts, and compares what they decide with the words of the rules.
func FuzzParse(f *testing.F) {
	f.Add(bank, "trainee", "bank/vault", uint8(Lookup))
	f.Add(defaultText, "anonymous", "x", uint8(Bind))
	f.Add("deny a all b* bc* b bcd*\nallow a bind bc bcd\n", "a", "bcde", uint8(Bind))
	f.Add("group @a \"x y\" é\nallow @a watch,admin *\n", "é", "é", uint8(Admin))
	f.Add("allow \"\\\"\" all \x00", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, text, principal, name string, o uint8) {
		p, err := Parse("p", text)
		if err != nil {
			var at *Error
			lines := strings.Split(text, "\n")
			if !errors.As(err, &at) || at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > len(lines[at.Line-1])+2 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		op := Op(1 << (o % uint8(len(opNames))))
		for _, who := range []Peer{{principal, false}, {principal, true}, {Anonymous, false}} {
			got, want := p.Allows(who, op, name), p.slowly(who, op, name)
			if got != want {
				t.Fatalf("%q: %+v may %v %q: %v, want %v", text, who, op, name, got, want)
			}
			if again, why := p.Explain(who, op, name); again != got || why == "" {
				t.Fatalf("%q: explained as %v, %q", text, again, why)
			}
			if got && !p.AllowsSome(who, op) {
				t.Fatalf("%q: %+v may do %v with %q, and with nothing", text, who, op, name)
			}
		}
	})
}

// large is a policy of n rules: half of them for names, of a thousand principals and a hundred
// groups.
func large(tb testing.TB, n int) *Policy {
	var b strings.Builder
	for g := range 100 {
		fmt.Fprintf(&b, "group @team-%d", g)
		for i := range 10 {
			fmt.Fprintf(&b, " spiffe://bank.example/branch-%d/teller-%d", g, i)
		}
		b.WriteByte('\n')
	}
	b.WriteString("allow @local all *\nallow @known lookup,list *\n")
	for i := 2; i < n; i++ {
		switch who, kind := i%1000, i%4; kind {
		case 0:
			fmt.Fprintf(&b, "allow @team-%d bind,rebind branch-%d/accounts-%d/*\n", who%100, who%100, i)
		case 1:
			fmt.Fprintf(&b, "deny spiffe://bank.example/branch-%d/teller-%d lookup branch-%d/accounts-%d/vault\n", who%100, i%10, who%100, i)
		case 2:
			fmt.Fprintf(&b, "allow spiffe://bank.example/branch-%d/teller-%d all branch-%d/teller-%d-%d/*\n", who%100, i%10, who%100, i%10, i)
		default:
			fmt.Fprintf(&b, "allow @team-%d unbind branch-%d/accounts-%d/alice\n", who%100, who%100, i)
		}
	}
	p, err := Parse("large", b.String())
	if err != nil {
		tb.Fatal(err)
	}
	if p.Rules() != n {
		tb.Fatalf("%d rules, want %d", p.Rules(), n)
	}
	return p
}

func TestAllowsAllocatesNothing(t *testing.T) {
	p := large(t, 10_000)
	who := Peer{Principal: "spiffe://bank.example/branch-4/teller-4"}
	if n := testing.AllocsPerRun(1000, func() { p.Allows(who, Lookup, "branch-4/accounts-8004/alice") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllows(b *testing.B) {
	p := large(b, 10_000)
	for _, c := range []struct {
		name string
		who  Peer
		op   Op
		path string
		want bool
	}{
		{"by a group", Peer{Principal: "spiffe://bank.example/branch-4/teller-4"}, Bind, "branch-4/accounts-8004/alice", true},
		{"by the last rule", Peer{Principal: "spiffe://bank.example/branch-4/teller-4"}, Lookup, "branch-4/accounts-8004/alice", true},
		{"by nothing", Peer{Principal: "spiffe://bank.example/branch-5/teller-9"}, Unbind, "branch-7/accounts-4003/bob", false},
		{"of a stranger", Peer{Principal: Anonymous}, Lookup, "branch-4/accounts-8004/alice", false},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Allows(c.who, c.op, c.path) != c.want {
					b.Fatal("it is decided otherwise")
				}
			}
		})
	}
}
