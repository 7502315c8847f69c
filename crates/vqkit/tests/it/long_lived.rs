//! A process that opens a run once and serves many requests.

use std::{sync::mpsc, thread};

use vqkit::{
    run::{Context, Run},
    sample::{Generator, Request},
};

use crate::trained::run;

#[test]
fn a_run_is_opened_once_and_serves_two_hundred_requests_from_a_thread() {
    let mut generator = Generator::open(&Run::open(run()).unwrap(), &Context::silent("cpu").unwrap()).unwrap();
    let (requests, inbox) = mpsc::channel::<(u64, mpsc::Sender<(u64, Vec<u8>, f64)>)>();
    let server = thread::spawn(move || {
        for (seed, answer) in inbox {
            let mut request = Request::of_class("circle", 1);
            request.sample.sampling = request.sample.sampling.with_seed(seed);
            let image = generator.generate(&request, None).unwrap().remove(0);
            answer.send((seed, image.picture.png().unwrap(), image.log_likelihood)).unwrap();
        }
    });
    let (answers, outbox) = mpsc::channel();
    for request in 0..200 {
        requests.send((request % 100, answers.clone())).unwrap();
    }
    drop((requests, answers));
    let mut served: Vec<_> = outbox.iter().collect();
    server.join().unwrap();
    assert_eq!(served.len(), 200);
    served.sort_by_key(|(seed, ..)| *seed);
    for pair in served.chunks(2) {
        assert_eq!(pair[0], pair[1], "the same seed gives the same image, whatever was drawn in between");
    }
    let differ = served.windows(2).filter(|pair| pair[0].2 != pair[1].2).count();
    assert!(differ > 50, "other seeds give other images: {differ}");
}
