async function* events(api, replyId, token, after = -1) {
  const answer = await fetch(`${api}/replies/${replyId}/events?after=${after}`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  if (answer.status === 204) return;
  let rest = "", name = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) yield { name, ...JSON.parse(line.slice(6)) };
    }
  }
}

let n=0,last; for await (const e of events('http://localhost:8311/api/v1','01a1f8d8-0a3e-77a6-8771-cf012205c2c4','eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJwYXJsZXkiLCJzdWIiOiIwMWExZjhjMC00YTQ1LTcyYzQtYWNmYi02NWViMWJjNmNmMzciLCJraW5kIjoidmlzaXRvciIsInJvbGVzIjpbXSwiaWF0IjoxNzk1MTc0NzEzLCJleHAiOjE3OTc3NjY3MTN9.hh82fLKW3LBHGlhi2wxaSSVFe-MLvVZu5HZfxj52Mjw')) { n++; last=e; } console.log(n,last.name,last.message.content.slice(0,40));
let m=0; for await (const e of events('http://localhost:8311/api/v1','01a1f8d8-0a3e-77a6-8771-cf012205c2c4','eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJwYXJsZXkiLCJzdWIiOiIwMWExZjhjMC00YTQ1LTcyYzQtYWNmYi02NWViMWJjNmNmMzciLCJraW5kIjoidmlzaXRvciIsInJvbGVzIjpbXSwiaWF0IjoxNzk1MTc0NzEzLCJleHAiOjE3OTc3NjY3MTN9.hh82fLKW3LBHGlhi2wxaSSVFe-MLvVZu5HZfxj52Mjw',5)) m++; console.log(m);
let k=0; for await (const e of events('http://localhost:8311/api/v1','01a1f8d8-0a3e-77a6-8771-cf012205c2c4','eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJwYXJsZXkiLCJzdWIiOiIwMWExZjhjMC00YTQ1LTcyYzQtYWNmYi02NWViMWJjNmNmMzciLCJraW5kIjoidmlzaXRvciIsInJvbGVzIjpbXSwiaWF0IjoxNzk1MTc0NzEzLCJleHAiOjE3OTc3NjY3MTN9.hh82fLKW3LBHGlhi2wxaSSVFe-MLvVZu5HZfxj52Mjw',last.seq)) k++; console.log(k);
