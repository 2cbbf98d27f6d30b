//! A client that speaks as `ovs-appctl` does, against a server.

use super::*;
use crate::stream::Target;

struct Counter(Mutex<u32>);

const TABLE: &[Command<Counter>] = &[
    Command { name: "count", usage: "[by]", words: 0..=1, run: Run::Now(count) },
    Command { name: "wait", usage: "", words: 0..=0, run: Run::Later(wait) },
];

fn count(counter: &Counter, words: &[String]) -> Outcome {
    let by = words.first().map_or(Ok(1), |word| word.parse::<u32>()).map_err(|_| "not a number")?;
    let mut count = counter.0.lock().unwrap();
    *count += by;
    Ok(count.to_string())
}

fn wait(_: &Counter, _: Vec<String>) -> Answer {
    Answer::later(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok("waited".into())
    })
}

async fn ask(stream: &mut Stream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let count = timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn commands_answer_now_and_later() {
    let path = std::env::temp_dir().join(format!("heddle-unixctl-{}.ctl", std::process::id()));
    let mut commands = Commands::default();
    commands.add_table(&Arc::new(Counter(Mutex::new(0))), TABLE);
    assert_eq!(
        commands.list(),
        "The available commands are:\n  count                   [by]\n  wait                    \n"
    );
    let server = Server::open(&path, Arc::new(commands)).await.unwrap();
    let target = Target::Unix(server.path().to_owned());
    let (mut first, mut second) = (target.connect().await.unwrap(), target.connect().await.unwrap());
    let (waited, counted) = tokio::join!(
        ask(&mut first, r#"{"id":0,"method":"wait","params":[]}"#),
        ask(&mut second, r#"{"id":7,"method":"count","params":["2"]}"#),
    );
    assert_eq!(waited, r#"{"id":0,"result":"waited\n","error":null}"#);
    assert_eq!(counted, r#"{"id":7,"result":"2\n","error":null}"#);
    for (request, error) in [
        (r#"{"id":1,"method":"count","params":["1","2"]}"#, "takes at most 1 arguments"),
        (r#"{"id":1,"method":"count","params":["x"]}"#, "not a number"),
        (r#"{"id":1,"method":"no/such"}"#, "is not a valid command"),
    ] {
        assert!(ask(&mut second, request).await.contains(error), "{request}");
    }
    server.close().await;
    assert!(target.connect().await.is_err());
}

#[test]
fn requests_are_read_whole_and_in_order() {
    let text = br#"{"id":0,"method":"a","params":[]} {"id":1,"method":"b"} {"id":2,"met"#;
    let (requests, used) = take_requests(text).unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(&text[used..], br#" {"id":2,"met"#);
    for text in [&b"[]"[..], b"{\"id\":0,\"method\":1}", b"nonsense", &[b'['; 4096]] {
        assert!(take_requests(text).is_err());
    }
}
