package rmi_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// Many has 64 methods; each returns its number added to its argument.
type Many interface {
	M00(ctx context.Context, n int64) (int64, error)
	M01(ctx context.Context, n int64) (int64, error)
	M02(ctx context.Context, n int64) (int64, error)
	M03(ctx context.Context, n int64) (int64, error)
	M04(ctx context.Context, n int64) (int64, error)
	M05(ctx context.Context, n int64) (int64, error)
	M06(ctx context.Context, n int64) (int64, error)
	M07(ctx context.Context, n int64) (int64, error)
	M08(ctx context.Context, n int64) (int64, error)
	M09(ctx context.Context, n int64) (int64, error)
	M10(ctx context.Context, n int64) (int64, error)
	M11(ctx context.Context, n int64) (int64, error)
	M12(ctx context.Context, n int64) (int64, error)
	M13(ctx context.Context, n int64) (int64, error)
	M14(ctx context.Context, n int64) (int64, error)
	M15(ctx context.Context, n int64) (int64, error)
	M16(ctx context.Context, n int64) (int64, error)
	M17(ctx context.Context, n int64) (int64, error)
	M18(ctx context.Context, n int64) (int64, error)
	M19(ctx context.Context, n int64) (int64, error)
	M20(ctx context.Context, n int64) (int64, error)
	M21(ctx context.Context, n int64) (int64, error)
	M22(ctx context.Context, n int64) (int64, error)
	M23(ctx context.Context, n int64) (int64, error)
	M24(ctx context.Context, n int64) (int64, error)
	M25(ctx context.Context, n int64) (int64, error)
	M26(ctx context.Context, n int64) (int64, error)
	M27(ctx context.Context, n int64) (int64, error)
	M28(ctx context.Context, n int64) (int64, error)
	M29(ctx context.Context, n int64) (int64, error)
	M30(ctx context.Context, n int64) (int64, error)
	M31(ctx context.Context, n int64) (int64, error)
	M32(ctx context.Context, n int64) (int64, error)
	M33(ctx context.Context, n int64) (int64, error)
	M34(ctx context.Context, n int64) (int64, error)
	M35(ctx context.Context, n int64) (int64, error)
	M36(ctx context.Context, n int64) (int64, error)
	M37(ctx context.Context, n int64) (int64, error)
	M38(ctx context.Context, n int64) (int64, error)
	M39(ctx context.Context, n int64) (int64, error)
	M40(ctx context.Context, n int64) (int64, error)
	M41(ctx context.Context, n int64) (int64, error)
	M42(ctx context.Context, n int64) (int64, error)
	M43(ctx context.Context, n int64) (int64, error)
	M44(ctx context.Context, n int64) (int64, error)
	M45(ctx context.Context, n int64) (int64, error)
	M46(ctx context.Context, n int64) (int64, error)
	M47(ctx context.Context, n int64) (int64, error)
	M48(ctx context.Context, n int64) (int64, error)
	M49(ctx context.Context, n int64) (int64, error)
	M50(ctx context.Context, n int64) (int64, error)
	M51(ctx context.Context, n int64) (int64, error)
	M52(ctx context.Context, n int64) (int64, error)
	M53(ctx context.Context, n int64) (int64, error)
	M54(ctx context.Context, n int64) (int64, error)
	M55(ctx context.Context, n int64) (int64, error)
	M56(ctx context.Context, n int64) (int64, error)
	M57(ctx context.Context, n int64) (int64, error)
	M58(ctx context.Context, n int64) (int64, error)
	M59(ctx context.Context, n int64) (int64, error)
	M60(ctx context.Context, n int64) (int64, error)
	M61(ctx context.Context, n int64) (int64, error)
	M62(ctx context.Context, n int64) (int64, error)
	M63(ctx context.Context, n int64) (int64, error)
}

type many struct{}

func (many) M00(_ context.Context, n int64) (int64, error) { return n + 0, nil }
func (many) M01(_ context.Context, n int64) (int64, error) { return n + 1, nil }
func (many) M02(_ context.Context, n int64) (int64, error) { return n + 2, nil }
func (many) M03(_ context.Context, n int64) (int64, error) { return n + 3, nil }
func (many) M04(_ context.Context, n int64) (int64, error) { return n + 4, nil }
func (many) M05(_ context.Context, n int64) (int64, error) { return n + 5, nil }
func (many) M06(_ context.Context, n int64) (int64, error) { return n + 6, nil }
func (many) M07(_ context.Context, n int64) (int64, error) { return n + 7, nil }
func (many) M08(_ context.Context, n int64) (int64, error) { return n + 8, nil }
func (many) M09(_ context.Context, n int64) (int64, error) { return n + 9, nil }
func (many) M10(_ context.Context, n int64) (int64, error) { return n + 10, nil }
func (many) M11(_ context.Context, n int64) (int64, error) { return n + 11, nil }
func (many) M12(_ context.Context, n int64) (int64, error) { return n + 12, nil }
func (many) M13(_ context.Context, n int64) (int64, error) { return n + 13, nil }
func (many) M14(_ context.Context, n int64) (int64, error) { return n + 14, nil }
func (many) M15(_ context.Context, n int64) (int64, error) { return n + 15, nil }
func (many) M16(_ context.Context, n int64) (int64, error) { return n + 16, nil }
func (many) M17(_ context.Context, n int64) (int64, error) { return n + 17, nil }
func (many) M18(_ context.Context, n int64) (int64, error) { return n + 18, nil }
func (many) M19(_ context.Context, n int64) (int64, error) { return n + 19, nil }
func (many) M20(_ context.Context, n int64) (int64, error) { return n + 20, nil }
func (many) M21(_ context.Context, n int64) (int64, error) { return n + 21, nil }
func (many) M22(_ context.Context, n int64) (int64, error) { return n + 22, nil }
func (many) M23(_ context.Context, n int64) (int64, error) { return n + 23, nil }
func (many) M24(_ context.Context, n int64) (int64, error) { return n + 24, nil }
func (many) M25(_ context.Context, n int64) (int64, error) { return n + 25, nil }
func (many) M26(_ context.Context, n int64) (int64, error) { return n + 26, nil }
func (many) M27(_ context.Context, n int64) (int64, error) { return n + 27, nil }
func (many) M28(_ context.Context, n int64) (int64, error) { return n + 28, nil }
func (many) M29(_ context.Context, n int64) (int64, error) { return n + 29, nil }
func (many) M30(_ context.Context, n int64) (int64, error) { return n + 30, nil }
func (many) M31(_ context.Context, n int64) (int64, error) { return n + 31, nil }
func (many) M32(_ context.Context, n int64) (int64, error) { return n + 32, nil }
func (many) M33(_ context.Context, n int64) (int64, error) { return n + 33, nil }
func (many) M34(_ context.Context, n int64) (int64, error) { return n + 34, nil }
func (many) M35(_ context.Context, n int64) (int64, error) { return n + 35, nil }
func (many) M36(_ context.Context, n int64) (int64, error) { return n + 36, nil }
func (many) M37(_ context.Context, n int64) (int64, error) { return n + 37, nil }
func (many) M38(_ context.Context, n int64) (int64, error) { return n + 38, nil }
func (many) M39(_ context.Context, n int64) (int64, error) { return n + 39, nil }
func (many) M40(_ context.Context, n int64) (int64, error) { return n + 40, nil }
func (many) M41(_ context.Context, n int64) (int64, error) { return n + 41, nil }
func (many) M42(_ context.Context, n int64) (int64, error) { return n + 42, nil }
func (many) M43(_ context.Context, n int64) (int64, error) { return n + 43, nil }
func (many) M44(_ context.Context, n int64) (int64, error) { return n + 44, nil }
func (many) M45(_ context.Context, n int64) (int64, error) { return n + 45, nil }
func (many) M46(_ context.Context, n int64) (int64, error) { return n + 46, nil }
func (many) M47(_ context.Context, n int64) (int64, error) { return n + 47, nil }
func (many) M48(_ context.Context, n int64) (int64, error) { return n + 48, nil }
func (many) M49(_ context.Context, n int64) (int64, error) { return n + 49, nil }
func (many) M50(_ context.Context, n int64) (int64, error) { return n + 50, nil }
func (many) M51(_ context.Context, n int64) (int64, error) { return n + 51, nil }
func (many) M52(_ context.Context, n int64) (int64, error) { return n + 52, nil }
func (many) M53(_ context.Context, n int64) (int64, error) { return n + 53, nil }
func (many) M54(_ context.Context, n int64) (int64, error) { return n + 54, nil }
func (many) M55(_ context.Context, n int64) (int64, error) { return n + 55, nil }
func (many) M56(_ context.Context, n int64) (int64, error) { return n + 56, nil }
func (many) M57(_ context.Context, n int64) (int64, error) { return n + 57, nil }
func (many) M58(_ context.Context, n int64) (int64, error) { return n + 58, nil }
func (many) M59(_ context.Context, n int64) (int64, error) { return n + 59, nil }
func (many) M60(_ context.Context, n int64) (int64, error) { return n + 60, nil }
func (many) M61(_ context.Context, n int64) (int64, error) { return n + 61, nil }
func (many) M62(_ context.Context, n int64) (int64, error) { return n + 62, nil }
func (many) M63(_ context.Context, n int64) (int64, error) { return n + 63, nil }

func TestAllOf64MethodsCanBeCalled(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	r := export[Many](t, owner, many{}, nil)
	ctx := within(t)
	for i := range 64 {
		out, err := caller.Invoke(ctx, r, fmt.Sprintf("M%02d", i), 1000)
		if err != nil || out[0] != int64(1000+i) {
			t.Errorf("method %d by name: %v, %v", i, out, err)
		}
	}
	if err := proxySupported(); err != nil {
		t.Logf("called by name only: %v", err)
		return
	}
	m := reflect.ValueOf(resolve[Many](t, caller, r))
	for i := range 64 {
		out := m.MethodByName(fmt.Sprintf("M%02d", i)).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(int64(1000))})
		if !out[1].IsNil() || out[0].Int() != int64(1000+i) {
			t.Errorf("method %d: %v, %v", i, out[0], out[1])
		}
	}
}

func TestAnInterfaceWithoutAStubIsRefusedWhereItCannotBeProxied(t *testing.T) {
	err := proxySupported()
	if err == nil {
		t.Skip("interfaces can be proxied here")
	}
	network := rmitest.New(t)
	_, err = rmi.Resolve[Many](network.Client(), export[Many](t, network.Node(), many{}, nil), nil)
	expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
}
