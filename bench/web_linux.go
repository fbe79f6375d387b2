package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/bench/report"
)

// visit is a way to ask for a file.
type visit struct {
	text, path string
	kept       bool // all requests of a caller are on one connection; else each has its own
}

var visits = []visit{
	{"1 KB, kept connections", "/small", true},
	{"1 KB, new connections", "/small", false},
	{"1 MB, kept connections", "/large", true},
	{"1 MB, new connections", "/large", false},
}

// web compares divisi httpd with nginx.
func (b *bench) web(ctx context.Context) error {
	took, rounds := time.Second, 5
	if b.short {
		took, rounds = 100*time.Millisecond, 1
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return report.Put(b.file, "web", "Not measured: nginx is not installed (`apt-get install nginx-light`).")
	}
	folder, err := os.MkdirTemp("/tmp", "web")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	// nginx reads the files as another user.
	err = errors.Join(os.Chmod(folder, 0o755), os.Mkdir(filepath.Join(folder, "www"), 0o755),
		os.WriteFile(filepath.Join(folder, "www", "small"), load.Huge.Bytes()[:1<<10], 0o644),
		os.WriteFile(filepath.Join(folder, "www", "large"), load.Huge.Bytes(), 0o644))
	if err != nil {
		return err
	}
	servers := []*webServer{{name: "Divisi", folder: folder}, {name: "nginx", folder: folder}}
	for _, s := range servers {
		defer s.end()
		if err := s.start(ctx, b.program("divisi"), nginx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.visit(ctx, servers, took, rounds)
}

// visit has the servers take turns.
func (b *bench) visit(ctx context.Context, servers []*webServer, took time.Duration, rounds int) error {
	t := report.NewTable("file", "", "p50 µs", "p99 µs", "requests/s", "requests per CPU-second", "of nginx's")
	figures := report.Figures{}
	for _, v := range visits {
		seen := map[string][4][]float64{} // p50, p99, rate, per CPU-second
		for range rounds {
			for _, s := range servers {
				one, err := s.visit(ctx, v, took)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", v.text, s.name, err)
				}
				all := seen[s.name]
				for i := range one {
					all[i] = append(all[i], one[i])
				}
				seen[s.name] = all
			}
		}
		var ratios []float64
		for i, rate := range seen["nginx"][3] {
			ratios = append(ratios, seen["Divisi"][3][i]/rate)
		}
		for _, s := range servers {
			all, ratio := seen[s.name], report.Spread(ratios)
			if s.name == "nginx" {
				ratio = "1"
			}
			t.Add(v.text, s.name, report.Spread(all[0]), report.Spread(all[1]), report.Spread(all[2]), report.Spread(all[3]), ratio)
		}
		figures.Set(report.Median(ratios), "web", v.text, "of nginx")
	}
	return b.keep("web", figures, t)
}

// webServer is a server that is visited.
type webServer struct {
	name, folder string
	address      string
	cmd          *exec.Cmd
	exited       chan struct{}
}

const nginxConf = `worker_processes auto;
pid %[1]s/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		root %[1]s/www;
	}
}
`

// start starts the server, and waits until it answers.
func (s *webServer) start(ctx context.Context, divisi, nginx string) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = free.Addr().String()
	free.Close()
	s.cmd = exec.Command(divisi, "httpd", "--root", filepath.Join(s.folder, "www"), "--listen", s.address, "--access-log", "none")
	if s.name == "nginx" {
		conf := filepath.Join(s.folder, "nginx.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, s.folder, s.address), 0o644); err != nil {
			return err
		}
		s.cmd = exec.Command(nginx, "-p", s.folder, "-c", conf, "-e", "stderr", "-g", "daemon off;")
	}
	var said bytes.Buffer
	s.cmd.Stderr, s.exited = &said, make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.exited = nil
		return err
	}
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // it ends when it is asked to
	}()
	for range 1000 {
		response, err := http.Get("http://" + s.address + "/small")
		if err == nil {
			response.Body.Close()
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("it has ended: %s", said.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("it does not answer")
}

func (s *webServer) end() {
	if s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(load.Patience):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// cpu returns the processor time of the process and of its children.
func (s *webServer) cpu() (time.Duration, error) {
	pids := []string{fmt.Sprint(s.cmd.Process.Pid)}
	children, err := os.ReadFile(filepath.Join("/proc", pids[0], "task", pids[0], "children"))
	if err != nil {
		return 0, err
	}
	var all time.Duration
	for _, pid := range append(pids, strings.Fields(string(children))...) {
		var one idler
		if err := one.look(filepath.Join("/proc", pid)); err != nil {
			return 0, err
		}
		all += one.cpu
	}
	return all, nil
}

// visit has callers ask for a file, and returns p50, p99, requests a second, and requests a CPU-second of the server.
func (s *webServer) visit(ctx context.Context, v visit, took time.Duration) (seen [4]float64, err error) {
	const callers = 16
	before, err := s.cpu()
	if err != nil {
		return seen, err
	}
	times, errs := make([][]time.Duration, callers), make([]error, callers)
	var calls sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		calls.Go(func() { times[i], errs[i] = s.call(ctx, v, begin.Add(took)) })
	}
	calls.Wait()
	passed := time.Since(begin)
	after, err := s.cpu()
	if err := errors.Join(append(errs, err)...); err != nil {
		return seen, err
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	if len(all) == 0 {
		return seen, errors.New("no request was answered")
	}
	µs := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	n := float64(len(all))
	return [4]float64{µs(all[len(all)/2]), µs(all[len(all)*99/100]), n / passed.Seconds(), n / (after - before).Seconds()}, nil
}

// call asks again and again.
func (s *webServer) call(ctx context.Context, v visit, end time.Time) (times []time.Duration, err error) {
	ask := "GET " + v.path + " HTTP/1.1\r\nHost: localhost\r\n"
	if !v.kept {
		ask += "Connection: close\r\n"
	}
	request := []byte(ask + "\r\n")
	reader := bufio.NewReaderSize(nil, 64<<10)
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for begin := time.Now(); begin.Before(end) && ctx.Err() == nil; {
		if conn == nil {
			if conn, err = net.Dial("tcp", s.address); err != nil {
				return nil, err
			}
			reader.Reset(conn)
		}
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		if err := answered(reader); err != nil {
			return nil, err
		}
		if !v.kept {
			conn.Close()
			conn = nil
		}
		now := time.Now()
		times = append(times, now.Sub(begin))
		begin = now
	}
	return times, ctx.Err()
}

// answered reads an answer whose length is said. It does as little as it can, for it shares the processors.
func answered(r *bufio.Reader) error {
	length := int64(-1)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("the answer is %q", line)
		}
		if len(line) == 2 {
			break
		}
		if key, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(key, []byte("Content-Length")) {
			if _, err := fmt.Sscan(string(value), &length); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("the answer has no length")
	}
	_, err := io.CopyN(io.Discard, r, length)
	return err
}
