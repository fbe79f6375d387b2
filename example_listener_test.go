package divisi_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/divisi-go/divisi"
)

// site has a listener, which is open before Init is called.
type site struct {
	divisi.Implements[divisi.Main]
	web divisi.Listener // its name in the configuration is "web"
}

func (*site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "This is ", r.URL.Path)
}

func ExampleListener() {
	err := divisi.Run(context.Background(), func(ctx context.Context, s *site) error {
		go http.Serve(s.web, s) // a program says: return http.Serve(s.web, s)

		resp, err := http.Get("http://" + s.web.String() + "/home")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		fmt.Println(string(page))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: This is /home
}
