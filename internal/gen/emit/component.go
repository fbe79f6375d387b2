package emit

import (
	"fmt"
	"go/types"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

// stub writes the client and the server side of an interface.
func (w *writer) stub(i *check.Interface) {
	w.p("type %s struct{ $c *%s.Client }\n", w.stubs[i], w.codegen())
	for n, m := range i.Methods {
		if m.Stream != nil {
			w.streamStub(i, m, n)
		} else {
			w.callStub(i, m, n)
		}
		w.serve(i, m)
	}
}

func (w *writer) serveName(i *check.Interface, m *check.Method) string {
	if w.serves[m] == "" {
		name := upperFirst(strings.TrimSuffix(w.stubs[i], "Stub")) + m.Name
		w.serves[m] = w.unique("serve", name, "")
	}
	return w.serves[m]
}

// signature writes the head of a stub's method, the results named.
func (w *writer) signature(i *check.Interface, m *check.Method, results string) {
	params := []string{w.local("ctx") + " " + w.typ(m.Type.Params().At(0).Type())}
	for n, arg := range m.Args {
		text := w.typ(arg.Type)
		if m.Variadic && n == len(m.Args)-1 {
			text = "..." + w.typ(m.Type.Params().At(n+1).Type().(*types.Slice).Elem())
		}
		params = append(params, fmt.Sprintf("%s %s", w.arg(n), text))
	}
	w.p("func ($s %s) %s(%s) %s {", w.stubs[i], m.Name, strings.Join(params, ", "), results)
}

func (w *writer) arg(n int) string    { return w.local(fmt.Sprintf("a%d", n)) }
func (w *writer) result(n int) string { return w.local(fmt.Sprintf("r%d", n)) }

// args returns the arguments of a call of the implementation, copied if they have to be.
func (w *writer) args(m *check.Method, copied bool) string {
	list := []string{w.local("ctx")}
	for n, arg := range m.Args {
		text := w.arg(n)
		if copied && !m.Shared {
			text = w.copyOf(arg, text)
		}
		if m.Variadic && n == len(m.Args)-1 {
			text += "..."
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// callStub writes the stub's method of a call: the local call, then the remote one.
func (w *writer) callStub(i *check.Interface, m *check.Method, index int) {
	var named, vars []string
	for n, r := range m.Results {
		named = append(named, w.result(n)+" "+w.typ(r.Type))
		vars = append(vars, w.result(n))
	}

	named = append(named, w.local("err")+" "+w.predeclared("error"))
	w.signature(i, m, "("+strings.Join(named, ", ")+")")

	w.p("$impl, $err := $s.$c.Local($ctx)")
	w.p("if $err != %s {", w.untyped(w.predeclared("error")))
	w.p("return %s", strings.Join(append(slices.Clone(vars), w.local("err")), ", "))
	w.p("}")
	w.p("if $impl, $ok := $impl.(%s); $ok {", w.typ(i.Type))
	w.localCall(m, index, vars)
	w.p("}")
	w.remoteCall(i, m, index, vars)
	w.p("}\n")
}

// localCall writes a call of the implementation, whose results go to vars.
func (w *writer) localCall(m *check.Method, index int, vars []string) {
	var copies []string
	for n, r := range m.Results {
		text := vars[n]
		if !m.Shared {
			text = w.copyOf(r, text)
		}
		copies = append(copies, text)
	}

	list := strings.Join(vars, ", ")
	call := fmt.Sprintf("%s.%s(%s)", w.local("impl"), m.Name, w.args(m, true))
	args := w.share(m, m.Args, w.arg, index)
	results := w.share(m, m.Results, w.result, index)

	w.p("defer $s.$c.Enter(%d).Leave(&$err)", index)
	if results == "" && slices.Equal(copies, vars) {
		w.p("%sreturn %s", args, call)
		return
	}

	w.p("%s%s, $err = %s", args, list, call)
	text := strings.Join(copies, ", ")
	if len(text) <= lineLimit-2*tabWidth-len("return , err") {
		w.p("%sreturn %s, $err", results, text)
		return
	}

	for n, text := range copies {
		if text != vars[n] {
			w.p("%s = %s", vars[n], text)
		}
	}

	w.p("%sreturn %s, $err", results, list)
}

// remoteCall writes a call that is encoded, whose results go to vars.
func (w *writer) remoteCall(i *check.Interface, m *check.Method, index int, vars []string) {
	w.p("$call := $s.$c.Call($ctx, %d)", index)
	to := coder{sel: w.local("call") + ".Args", ptr: "&" + w.local("call") + ".Args"}
	for n, arg := range m.Args {
		w.p("%s", w.enc(arg, to, w.arg(n)))
	}

	if m.Route != nil {
		w.p("$call.Route(%s)", w.route(i, m))
	}

	if len(m.Results) == 0 {
		w.p("$call.Do()")
		w.p("return $call.End()")
		return
	}

	from := coder{sel: w.local("call") + ".Results", ptr: "&" + w.local("call") + ".Results"}
	w.p("if $call.Do() {")
	for n, r := range m.Results {
		w.p("%s = %s", w.result(n), w.dec(r, from))
	}

	w.p("}")
	w.p("return %s, $call.End()", strings.Join(vars, ", "))
}

// share returns the statement that reports the values which a method shares, "" if there are none. The
// statement copies them into variables of its own, so that the variables of the method stay on the stack
// when nothing is reported.
func (w *writer) share(m *check.Method, values []*shape.Shape, name func(int) string, index int) string {
	var vars, copies []string
	for n, v := range values {
		if m.Shared && v.Shared() {
			vars = append(vars, name(n))
			copies = append(copies, w.copyOf(v, name(n)))
		}
	}

	if copies == nil {
		return ""
	}

	client, list := w.local("s")+"."+w.local("c"), strings.Join(vars, ", ")
	return fmt.Sprintf("if %s.Sharing() {\n%s := %s\n", client, list, list) +
		fmt.Sprintf("%s.Share(%d, func() []%s {\n", client, index, w.predeclared("any")) +
		fmt.Sprintf("return []%s{%s}\n})\n}\n", w.predeclared("any"), strings.Join(copies, ", "))
}

// route returns the call of a router's method.
func (w *writer) route(i *check.Interface, m *check.Method) string {
	return fmt.Sprintf("%s.%s(%s)", w.fresh(w.typ(i.Router)), m.Name, w.args(m, false))
}

func (w *writer) streamStub(i *check.Interface, m *check.Method, index int) {
	stream := w.typ(m.Type.Results().At(0).Type())
	w.signature(i, m, stream)
	for n, arg := range m.Args {
		if text := w.copyOf(arg, w.arg(n)); text != w.arg(n) && !m.Shared {
			w.p("%s = %s", w.arg(n), text)
		}
	}

	w.p("return %s.Stream($ctx, $s.$c, %d, %s.StreamOf[%s]{",
		w.codegen(), index, w.codegen(), w.typ(m.Stream.Type))
	to := coder{sel: w.local("e"), ptr: w.local("e")}
	w.p("Args: func($e *%s.Encoder) {", w.codegen())
	for n, arg := range m.Args {
		w.p("%s", w.enc(arg, to, w.arg(n)))
	}

	w.p("},")
	if m.Route != nil {
		w.p("Route: func($call *%s.Call) { $call.Route(%s) },", w.codegen(), w.route(i, m))
	}

	w.p("Elem: %s,", w.decFunc(m.Stream))
	if m.Stream.Shared() {
		w.p("Copy: %s,", w.copyFunc(m.Stream))
	}
	if m.Stream.Shared() && m.Shared {
		w.p("Share: %s,", w.predeclared("true"))
	}

	w.p("Local: func($impl %s) %s {", w.predeclared("any"), stream)
	w.p("%sreturn $impl.(%s).%s(%s)", w.share(m, m.Args, w.arg, index), w.typ(i.Type), m.Name,
		w.args(m, false))
	w.p("},")
	w.p("})")
	w.p("}\n")
}

// serve writes the function that answers calls of a method.
func (w *writer) serve(i *check.Interface, m *check.Method) {
	w.p("func %s($ctx %s, $impl %s, $s *%s.Served) {", w.serveName(i, m),
		w.typ(m.Type.Params().At(0).Type()), w.typ(i.Type), w.codegen())
	from := coder{sel: w.local("s") + ".Args", ptr: "&" + w.local("s") + ".Args"}
	for n, arg := range m.Args {
		w.p("%s := %s", w.arg(n), w.dec(arg, from))
	}

	w.p("if $s.Ready() {")
	if m.Route != nil {
		w.p("$s.Route(%s)", w.route(i, m))
	}

	call := fmt.Sprintf("%s.%s(%s)", w.local("impl"), m.Name, w.args(m, false))
	switch {
	case m.Stream != nil:
		w.p("%s.ServeStream($s, %s, %s)", w.codegen(), call, w.encFunc(m.Stream))
	case len(m.Results) == 0:
		w.p("$s.End(%s)", call)
	default:
		var vars []string
		for n := range m.Results {
			vars = append(vars, w.result(n))
		}
		w.p("%s, $err := %s", strings.Join(vars, ", "), call)
		to := coder{sel: w.local("s") + ".Results", ptr: "&" + w.local("s") + ".Results"}
		for n, r := range m.Results {
			w.p("%s", w.enc(r, to, w.result(n)))
		}
		w.p("$s.End($err)")
	}

	w.p("}")
	w.p("}\n")
}
