package site

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/internal/config"
)

// options are what can be said of a server: by a flag, or by the same key in a file. A change of one that wants a restart
// means nothing to a server that runs.
type options struct {
	Root           string            `toml:"root" help:"the folder; nothing outside of it is served, nor what begins with a dot"`
	Listen         string            `toml:"listen" change:"restart" help:"where to listen, unless the parent holds a socket called httpd"`
	Handler        map[string]string `toml:"handler" help:"PATH=ADDRESS of a program: http://HOST:PORT, https://HOST:PORT or unix:PATH"`
	HandlerTimeout time.Duration     `toml:"handler-timeout" help:"how long a program may take until its answer begins; 0: for ever"`
	Name           string            `toml:"name" help:"of this server, for the header X-Served-By of its answers (default that in DIVISI_SERVER)"`
	AccessLog      string            `toml:"access-log" help:"file of the access log, in the combined format; - for the standard output, none for none"`
	Status         string            `toml:"status" change:"restart" help:"HOST:PORT where /metrics and a page about the server are; who can connect can read them"`
	TLSCert        string            `toml:"tls-cert" help:"file of the certificate, and of those that lead to its root; has --listen speak HTTPS"`
	TLSKey         string            `toml:"tls-key" help:"file of the certificate's key"`
	Patience       time.Duration     `toml:"patience" change:"restart" help:"how long a client may take for the header of a request, and for the next bytes of a body"`
	BodyMax        int64             `toml:"body-max" help:"longest body of a request, in bytes"`
	ConnectionsMax int               `toml:"connections-max" change:"restart" help:"connections at once; a new one more takes the place of that on which nothing is asked for the longest"`
	Servlets       bool              `toml:"servlets" help:"run files whose names end with .wasm, in the place of sending them"`
	ServletEnv     map[string]string `toml:"servlet-env" help:"NAME=VALUE, a variable of servlets"`
	ServletTimeout time.Duration     `toml:"servlet-timeout" help:"how long a servlet may take for an answer"`
	ServletMemory  int64             `toml:"servlet-memory" help:"memory that a servlet may have for an answer, in bytes"`
}

// defaults are the options of a server of which nothing is said.
func defaults() options {
	return options{
		Root: "www", Listen: "localhost:8080", HandlerTimeout: time.Minute, AccessLog: "-", Patience: 30 * time.Second,
		BodyMax: 64 << 20, ConnectionsMax: 4096, ServletTimeout: 10 * time.Second, ServletMemory: 64 << 20,
	}
}

// each calls a function for each option, with its key.
func (o *options) each(do func(key string, value reflect.Value, f reflect.StructField)) {
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		do(f.Tag.Get("toml"), v.Field(i), f)
	}
}

// define makes a flag of each option.
func (o *options) define(flags *pflag.FlagSet) {
	o.each(func(key string, value reflect.Value, f reflect.StructField) {
		help := f.Tag.Get("help")
		switch p := value.Addr().Interface().(type) {
		case *string:
			flags.StringVar(p, key, *p, help)
		case *bool:
			flags.BoolVar(p, key, *p, help)
		case *int:
			flags.IntVar(p, key, *p, help)
		case *int64:
			flags.Int64Var(p, key, *p, help)
		case *time.Duration:
			flags.DurationVar(p, key, *p, help)
		case *map[string]string:
			flags.Var(pairs{p}, key, help)
		}
	})
}

// pairs is a flag that may be repeated, each time with another name.
type pairs struct{ into *map[string]string }

func (p pairs) String() string { return "" }
func (p pairs) Type() string   { return "stringArray" }
func (p pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	switch _, twice := (*p.into)[name]; {
	case !ok || name == "":
		return errors.New("write NAME=VALUE, such as /api=http://localhost:9000")
	case twice:
		return fmt.Errorf("%s is there already", name)
	case *p.into == nil:
		*p.into = map[string]string{}
	}
	(*p.into)[name] = value
	return nil
}

// command is what the command line says of a server.
type command struct {
	flags  *pflag.FlagSet
	said   options
	server string // what the server is called where nobody says a name
}

// says reports whether the command line has a value at a path.
func (c command) says(path []string) bool {
	tables := map[string]map[string]string{"handler": c.said.Handler, "servlet-env": c.said.ServletEnv}
	_, inside := tables[path[0]][path[len(path)-1]]
	return c.flags.Changed(path[0]) && (len(path) == 1 || inside)
}

// over returns options with those of the command line in their place where it says any.
func (c command) over(below options) options {
	above, both := c.said, below
	values := map[string]reflect.Value{}
	above.each(func(key string, value reflect.Value, _ reflect.StructField) { values[key] = value })
	both.each(func(key string, value reflect.Value, _ reflect.StructField) {
		table, isTable := value.Interface().(map[string]string)
		switch {
		case !c.flags.Changed(key):
		case isTable:
			all := maps.Clone(values[key].Interface().(map[string]string))
			for name, text := range table {
				if _, said := all[name]; !said {
					all[name] = text
				}
			}
			value.Set(reflect.ValueOf(all))
		default:
			value.Set(values[key])
		}
	})
	return both
}

// read returns the options of a text, with those of the command line over them. All mistakes of the text are told, each with
// its place, or else those of the command line.
func (c command) read(file, text string) (options, error) {
	o := defaults()
	var own []error
	err := config.Read(file, text, &o, func(f *config.File) {
		o = c.over(o)
		o.Name = cmp.Or(o.Name, c.server)
		o.check(func(wrong error, path ...string) {
			if c.says(path) {
				own = append(own, console.UsageError("--%s: %w", strings.Join(path, " "), wrong))
			} else {
				f.Fail(path, "%w", wrong)
			}
		})
	})
	if err == nil && len(own) > 0 {
		err = own[0]
	}
	return o, err
}

// check tells of what nobody can mean, by its key, and within a table by a key there.
func (o options) check(wrong func(err error, path ...string)) {
	for key, n := range map[string]int64{
		"patience": int64(o.Patience), "body-max": o.BodyMax, "connections-max": int64(o.ConnectionsMax), "servlet-timeout": int64(o.ServletTimeout),
	} {
		if n <= 0 {
			wrong(errors.New("it has to be more than 0"), key)
		}
	}
	for key, d := range map[string]time.Duration{"patience": o.Patience, "handler-timeout": o.HandlerTimeout, "servlet-timeout": o.ServletTimeout} {
		if d > 0 && d < time.Millisecond || d < 0 && key == "handler-timeout" {
			wrong(fmt.Errorf(`it is %v: write a duration such as "1m30s"`, d), key)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(o.Handler)) {
		if !strings.HasPrefix(path, "/") || path == "/" {
			wrong(fmt.Errorf("%q is no path of a program: write one such as /api", path), "handler", path)
		} else if _, err := o.program(path); err != nil {
			wrong(err, "handler", path)
		}
	}
	for name, value := range o.ServletEnv {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			wrong(fmt.Errorf("%q cannot be a variable with the value %q", name, value), "servlet-env", name)
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		path := "tls-cert"
		if o.TLSCert == "" {
			path = "tls-key"
		}
		wrong(errors.New("tls-cert and tls-key belong together"), path)
	}
}

// program returns the address of the program below a path.
func (o options) program(path string) (address string, err error) {
	address = o.Handler[path]
	if socket, unix := strings.CutPrefix(address, "unix:"); unix && socket != "" {
		absolute, err := filepath.Abs(socket)
		if err != nil {
			return "", err
		}
		address = "unix:" + absolute
	}
	_, err = httpd.Program(address, o.HandlerTimeout)
	return address, err
}

// fixed returns these options with those of a server that runs where only a restart changes them, and the keys of which they
// said something else.
func (o options) fixed(running options) (same options, keys []string) {
	was := map[string]reflect.Value{}
	running.each(func(key string, value reflect.Value, _ reflect.StructField) { was[key] = value })
	o.each(func(key string, value reflect.Value, f reflect.StructField) {
		if f.Tag.Get("change") == "restart" && !value.Equal(was[key]) {
			keys = append(keys, key)
			value.Set(was[key])
		}
	})
	if (o.TLSCert == "") != (running.TLSCert == "") { // a socket speaks one of HTTP and HTTPS
		keys = append(keys, "tls-cert")
		o.TLSCert, o.TLSKey = running.TLSCert, running.TLSKey
	}
	return o, keys
}
