package codegen

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// withRegistry runs a test with a registry of its own.
func withRegistry(t *testing.T, test func()) {
	t.Helper()
	registry.mu.Lock()
	components, errs := registry.components, registry.errors
	registry.components, registry.errors = nil, nil
	registry.mu.Unlock()
	defer func() { registry.components, registry.errors = components, errs }()
	test()
}

func registerEchoer(name string) {
	Register[echoer, echo](Info{Name: name, Impl: "example.com/test/echo"}.Text(),
		func(c *Client) echoer { return echoerStub{c} },
		Method[echoer]{Name: "Echo", Layout: 1, Serve: serveEchoerEcho},
		Method[echoer]{Name: "Count", Layout: 2, Stream: true, Serve: serveEchoerCount})
}

func TestRegistry(t *testing.T) {
	withRegistry(t, func() {
		registerEchoer("example.com/test/Echoer#b")
		registerEchoer("example.com/test/Echoer")
		RegisterSentinel("test.known", errKnown)
		RegisterSentinel("test.unset", nil)
		RegisterErrorType("*test.notFound", encNotFound, decNotFound)
		r, err := Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		c, ok := r.Find("example.com/test/Echoer")
		if !ok || c != r.Components[0] || c.Info.Impl != "example.com/test/echo" {
			t.Fatalf("found %+v", c)
		}
		if _, ok := r.Find("example.com/test/Other"); ok {
			t.Error("found a component that is not there")
		}
		named, ok := r.FindIface(reflect.TypeFor[echoer](), "b")
		if !ok || named != r.Components[1] {
			t.Errorf("found %+v by its name", named)
		}
		if by, ok := r.FindImpl(reflect.TypeFor[echo]()); !ok || by.Impl != reflect.TypeFor[echo]() {
			t.Errorf("found %+v by its implementation", by)
		}
		if m := c.Methods[1]; !m.Stream || !m.NotRetriable || m.Key == c.Methods[0].Key {
			t.Errorf("method %+v", m)
		}
		if _, ok := c.Stub(nil).(echoer); !ok {
			t.Error("the stub is no echoer")
		}
		if got := cross(t, r.Errors, errKnown); got != errKnown {
			t.Errorf("a registered error came back as %v", got)
		}
		got := cross(t, r.Errors, &notFound{"a", io.EOF})
		if as, ok := errors.AsType[*notFound](got); !ok || as.cause != io.EOF {
			t.Errorf("an error of a registered type came back as %v", got)
		}
	})
}

func TestMethodKeys(t *testing.T) {
	a := MethodKey("c", "m", 1)
	for _, other := range []Key{MethodKey("c", "m", 2), MethodKey("c", "n", 1), MethodKey("cm", "", 1)} {
		if a == other {
			t.Errorf("key %x stands for two methods", a)
		}
	}
	if a != MethodKey("c", "m", 1) {
		t.Error("a key is not stable")
	}
}

func TestComponentRegisteredTwice(t *testing.T) {
	withRegistry(t, func() {
		registerEchoer("example.com/test/Echoer")
		registerEchoer("example.com/test/Echoer") // the same implementation: divisi.Handler does
		if r, err := Snapshot(); err != nil || len(r.Components) != 1 {
			t.Errorf("one implementation, registered twice: %v, error %v", r, err)
		}
		other := newComponent(Info{Name: "example.com/test/Echoer"}.Text(),
			reflect.TypeFor[any](), reflect.TypeFor[int]())
		registry.addComponent(other)
		_, err := Snapshot()
		if err == nil || !strings.Contains(err.Error(), "implemented twice, by codegen.echo and") {
			t.Errorf("error %v", err)
		}
	})
}

func TestDamagedRegistration(t *testing.T) {
	withRegistry(t, func() {
		defer func() {
			if text, _ := recover().(string); !strings.Contains(text, "run divisi generate") {
				t.Errorf("panic %q", text)
			}
		}()
		Register[echoer, echo]("nothing", nil)
	})
}

func TestEmptyRegistry(t *testing.T) {
	withRegistry(t, func() {
		if r, err := Snapshot(); err != nil || len(r.Components) != 0 {
			t.Errorf("snapshot %+v, %v", r, err)
		}
	})
}
