package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/examples/orderd/orderd"
	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) {
	lab.Enter()
	systemtest.Main(m, main)
}

// must ends the test if something has failed.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOrderd starts orderd and what it needs, and sends orders.
func TestOrderd(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("orderd"))(t)
	positions := systemtest.Must(positiond.Start(ctx, n, h, dir))(t)
	db := systemtest.Must(orderd.MakeDatabase(ctx, n, h, dir))(t)
	l := systemtest.Must(h.Listen(ctx, n, "orders", "127.0.0.1:0"))(t)
	o := systemtest.Must(orderd.Start(ctx, n, h, positions, l, db))(t)

	conn, err := net.Dial("tcp", o.Addr)
	must(t, err)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, c := range []struct{ order, answer string }{
		{"anne-1 17 600", "anne-1 accepted"},
		{"anne-2 17 600", "anne-2 rejected: the position would be 1200, and the limit is 1000"},
		{"anne-1 17 600", "anne-1 accepted"}, // sent again
		{"anne-2 17 400", "anne-2 accepted"},
		{"anne-3 17 -2000", "anne-3 accepted"},
		{"anne-3 17 2", "anne-3 rejected: the id is that of the order \"17 -2000\""},
		{"anne-4 512 1", "anne-4 rejected: the instrument 512 is none of 0 to 511"},
		{"anne-4 1 1000001", "anne-4 rejected: the quantity 1000001 is none of 1 to 1000000, bought or sold"},
		{"anne-4 1", `anne-4 rejected: "1" is no instrument and quantity, such as "17 -250"`},
		{"", " rejected: \"\" is no instrument and quantity, such as \"17 -250\""},
	} {
		fmt.Fprintln(conn, c.order)
		if answer, err := answers.ReadString('\n'); answer != c.answer+"\n" {
			t.Errorf("%q is answered by %q, not by %q: %v", c.order, answer, c.answer, err)
		}
	}
	check(t, path(t, h, positions.Dir), path(t, h, db.File), []string{"anne-1", "anne-2", "anne-3"})
}

// TestPortTaken: if somebody else has the port, the operator is asked for another one.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer other.Close()
	*listen = other.Addr().String()

	var asked []system.Asked
	ctx, n, h := systemtest.NewWith(t, system.Program{Name: "orderd", Operator: func(q system.Asked) (string, error) {
		asked = append(asked, q)
		return "127.0.0.1:0", nil
	}})
	must(t, deploy(ctx, n, h))
	if len(asked) != 1 || asked[0].Default != *listen || !strings.Contains(asked[0].Text, "address already in use") {
		t.Errorf("the operator was asked %+v", asked)
	}
}

// TestDatabase: a database is made once, and recovered where there is one.
func TestDatabase(t *testing.T) {
	t.Parallel()
	ctx, n, h := systemtest.New(t)
	dir := systemtest.Must(h.Dir("db"))(t)
	if _, err := orderd.RecoverDatabase(ctx, n, h, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none is recovered: %v", err)
	}
	systemtest.Must(orderd.MakeDatabase(ctx, n, h, dir))(t)
	systemtest.Must(orderd.RecoverDatabase(ctx, n, h, dir))(t)
	if _, err := orderd.MakeDatabase(ctx, n, h, dir); err == nil || !strings.Contains(err.Error(), "file already exists") {
		t.Errorf("it is made twice: %v", err)
	}
}

// TestArticle: docs/system-article.md shows the code that is here.
func TestArticle(t *testing.T) {
	var source string
	for _, file := range []string{"orderd_test.go", "../languages/languages.go"} {
		text, err := os.ReadFile(file)
		must(t, err)
		source += string(text)
	}
	document, err := os.ReadFile("../../docs/system-article.md")
	must(t, err)
	for _, block := range strings.Split(string(document), "```go\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		for line := range strings.Lines(code) {
			if !strings.Contains(source, line) {
				t.Errorf("the document shows %q, which is not there", line)
			}
		}
	}
}
