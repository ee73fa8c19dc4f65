package connector

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/hostguard/hostguard/checks"
	"github.com/hostguard/hostguard/internal/host"
	"github.com/hostguard/hostguard/internal/quantity"
	"github.com/hostguard/hostguard/internal/springconf"
)

// usersFile is where the core and the data app have their users.
const usersFile = "users.properties"

// maxCost bounds what is tried: each more of cost doubles the time, and one
// comparison at 12 takes a quarter of a second.
const maxCost = 14

// publishedUserWords are the users' published passwords. Those of key stores and
// databases are not tried: each try costs time.
var publishedUserWords = []string{"passwordApiUser", "passwordIdsUser", "passwordAlice", "passwordBob", "password"}

type usersParams struct {
	Time quantity.Duration `yaml:"time" doc:"How long published passwords are tried on the users' hashes altogether; 10s at most. What is not tried by then is an error."`
}

// Validate bounds the time: a check has to end.
func (p usersParams) Validate() error {
	if p.Time == 0 || time.Duration(p.Time) > 10*time.Second {
		return fmt.Errorf("time: %v is not between 1ms and 10s", p.Time)
	}
	return nil
}

// user is a user of an application. His password may stand anywhere that a
// property may.
type user struct {
	app      host.ConnectorApp
	name     string
	list     springconf.Value // users.list
	password springconf.Value
}

// usersOf are the users of all cores and data apps.
func usersOf(all []host.ConnectorApps, o *outcome) []user {
	var found []user
	for _, c := range all {
		if c.Err != nil {
			o.unknown = append(o.unknown, c.Err)
			continue
		}
		apps := c.Of(host.RoleCore, host.RoleDataApp)
		if len(apps) == 0 {
			o.unknownf("cannot tell which services of the connector in %s have users: none has the image or the settings of an execution core or data app", c.Connector.Dir)
		}
		for _, app := range apps {
			list, err := app.Property("users.list", usersFile)
			if err != nil {
				o.unknown = append(o.unknown, err)
				continue
			}
			if !list.Set {
				o.unknownf("cannot tell the users of %s: no file sets users.list", app.Name())
				continue
			}
			for name := range strings.SplitSeq(list.Text.Reveal(), ",") {
				if name = strings.TrimSpace(name); name == "" {
					continue
				}
				u := user{app: app, name: name, list: list}
				if u.password, err = app.Property(name+".password", usersFile); err != nil {
					o.unknown = append(o.unknown, err)
					continue
				}
				found = append(found, u)
			}
		}
	}
	return found
}

type userNamesParams struct {
	Published []string `yaml:"published" doc:"Names that no user may have any more."`
}

func userNames(ctx context.Context, h *host.Host, p userNamesParams) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	return judgeUserNames(all, p)
}

func judgeUserNames(all []host.ConnectorApps, p userNamesParams) (checks.Verdict, error) {
	var o outcome
	for _, u := range usersOf(all, &o) {
		if slices.Contains(p.Published, u.name) {
			o.bad = append(o.bad, at(u.app, "users.list", u.list, "users of your own", u.name))
		} else {
			o.good = append(o.good, at(u.app, "users.list", u.list, "", u.name))
		}
	}
	return o.verdict("The connector has users with the names that it is published with: half of each login is known.", "The connector has no users.")
}

func users(ctx context.Context, h *host.Host, p usersParams) (checks.Verdict, error) {
	all, err := appsOf(ctx, h)
	if err != nil {
		return checks.Verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.Time))
	defer cancel()
	return judgeUsers(ctx, all)
}

// judgeUsers compares the users' hashes with the published ones, and tries the
// published passwords on the others until ctx ends.
func judgeUsers(ctx context.Context, all []host.ConnectorApps) (checks.Verdict, error) {
	var o outcome
	tries := map[string][]user{} // by hash: users of several services share a file
	for _, u := range usersOf(all, &o) {
		hash := strings.TrimSpace(u.password.Text.Reveal())
		switch {
		case !u.password.Set || hash == "":
			at := checks.Evidence{Source: u.list.Origin.Source, Line: u.list.Origin.Line, Key: subject(u.app) + ": " + u.name + ".password", Want: "a bcrypt hash", Got: "none"}
			o.bad = append(o.bad, at)
		case slices.Contains(publishedHashes, hash):
			o.bad = append(o.bad, at(u.app, u.name+".password", u.password, "the hash of a password of your own", "a published hash"))
		case !isBcrypt(hash):
			o.bad = append(o.bad, at(u.app, u.name+".password", u.password, "a bcrypt hash", "something else"))
		default:
			tries[hash] = append(tries[hash], u)
		}
	}
	results := tryAll(ctx, sorted(tries), publishedUserWords)
	for hash, of := range tries {
		for _, u := range of {
			switch err := results[hash]; {
			case errors.Is(err, errGuessed):
				o.bad = append(o.bad, at(u.app, u.name+".password", u.password, "the hash of a password of your own", "the hash of a published password"))
			case err != nil:
				o.unknownf("cannot tell whether %s of %s (%v) is the hash of a published password: %w", u.name+".password", u.app.Name(), u.password.Origin, err)
			default:
				o.good = append(o.good, at(u.app, u.name+".password", u.password, "", "the hash of none of the published passwords"))
			}
		}
	}
	slices.SortFunc(o.bad, byPlace)
	slices.SortFunc(o.good, byPlace)
	return o.verdict("Users of the connector have passwords that are published with it, or none.", "The connector has no users.")
}

func byPlace(a, b checks.Evidence) int {
	return strings.Compare(fmt.Sprintf("%s:%06d %s", a.Source, a.Line, a.Key), fmt.Sprintf("%s:%06d %s", b.Source, b.Line, b.Key))
}

// isBcrypt reports whether a text has the form that Spring's encoder accepts.
func isBcrypt(hash string) bool {
	return len(hash) == 60 && hash[0] == '$' && hash[1] == '2' && hash[3] == '$' && strings.IndexByte("aby", hash[2]) >= 0 && hash[6] == '$'
}

var errGuessed = errors.New("it is the hash of a published password")

// tryAll tries words on hashes, on all processors, until ctx ends.
func tryAll(ctx context.Context, hashes, words []string) map[string]error {
	results := make(map[string]error, len(hashes))
	type try struct{ hash, word string }
	var tries []try
	for _, word := range words { // the likely words first, on all hashes
		for _, hash := range hashes {
			tries = append(tries, try{hash, word})
		}
	}
	for _, hash := range hashes {
		if cost, err := bcrypt.Cost([]byte(hash)); err != nil {
			results[hash] = errors.New("it is no bcrypt hash that can be tried")
		} else if cost > maxCost {
			results[hash] = fmt.Errorf("its cost is %d: above %d a try takes too long", cost, maxCost)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan try)
	workers := runtime.GOMAXPROCS(0)
	if workers > 2 {
		workers-- // for the rest of the run
	}
	for range min(workers, max(len(tries), 1)) {
		wg.Go(func() {
			for t := range next {
				mu.Lock()
				done := results[t.hash] != nil
				mu.Unlock()
				if done {
					continue
				}
				var err error
				if ctx.Err() != nil {
					err = errors.New("there was no time to try all of them")
				} else if bcrypt.CompareHashAndPassword([]byte(t.hash), []byte(t.word)) == nil {
					err = errGuessed
				}
				if err != nil {
					mu.Lock()
					if results[t.hash] == nil {
						results[t.hash] = err
					}
					mu.Unlock()
				}
			}
		})
	}
	for _, t := range tries {
		next <- t
	}
	close(next)
	wg.Wait()
	return results
}
