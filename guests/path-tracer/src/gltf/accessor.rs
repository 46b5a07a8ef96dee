//! Numbers out of the binary chunk, with every offset checked.

use super::document::{Accessor, Document};
use crate::error::{Result, bad};

/// A document and its binary chunk.
pub struct Source<'a> {
    /// The JSON part.
    pub document: &'a Document,
    /// The binary part.
    pub data: &'a [u8],
}

#[derive(Clone, Copy)]
enum Component {
    I8,
    U8,
    I16,
    U16,
    U32,
    F32,
}

impl Component {
    fn of(code: u32) -> Result<Component> {
        Ok(match code {
            5120 => Component::I8,
            5121 => Component::U8,
            5122 => Component::I16,
            5123 => Component::U16,
            5125 => Component::U32,
            5126 => Component::F32,
            _ => return Err(bad!("scene: component type {code} does not exist")),
        })
    }

    fn size(self) -> usize {
        match self {
            Component::I8 | Component::U8 => 1,
            Component::I16 | Component::U16 => 2,
            Component::U32 | Component::F32 => 4,
        }
    }

    fn float(self, b: &[u8], normalized: bool) -> f32 {
        let (v, most) = match self {
            Component::I8 => (f32::from(b[0] as i8), 127.0),
            Component::U8 => (f32::from(b[0]), 255.0),
            Component::I16 => (f32::from(i16::from_le_bytes([b[0], b[1]])), 32_767.0),
            Component::U16 => (f32::from(u16::from_le_bytes([b[0], b[1]])), 65_535.0),
            Component::U32 => (u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32, 1.0),
            Component::F32 => (f32::from_le_bytes([b[0], b[1], b[2], b[3]]), 1.0),
        };
        if normalized && most > 1.0 { crate::math::max(v / most, -1.0) } else { v }
    }
}

/// Where the elements of an accessor lie.
struct Layout<'a> {
    bytes: &'a [u8],
    stride: usize,
    count: usize,
    lanes: usize,
    component: Component,
    normalized: bool,
}

impl<'a> Source<'a> {
    /// The bytes of a buffer view and its stride, if it declares one.
    pub fn view(&self, index: usize) -> Result<(&'a [u8], Option<usize>)> {
        let v = self
            .document
            .buffer_views
            .get(index)
            .ok_or_else(|| bad!("scene: buffer view {index} does not exist"))?;
        if v.buffer != 0 {
            return Err(bad!("scene: only the buffer inside the .glb file is supported"));
        }
        let end = v.byte_offset.checked_add(v.byte_length);
        let bytes = end.and_then(|end| self.data.get(v.byte_offset..end));
        Ok((
            bytes.ok_or_else(|| bad!("scene: buffer view {index} leaves the file"))?,
            v.byte_stride,
        ))
    }

    fn layout(&self, index: usize) -> Result<Layout<'a>> {
        let a: &Accessor = self
            .document
            .accessors
            .get(index)
            .ok_or_else(|| bad!("scene: accessor {index} does not exist"))?;
        if a.sparse.is_some() {
            return Err(bad!("scene: sparse accessors are not supported"));
        }
        let view = a.buffer_view.ok_or_else(|| bad!("scene: accessor {index} has no data"))?;
        let (bytes, stride) = self.view(view)?;
        let lanes = match a.shape.as_str() {
            "SCALAR" => 1,
            "VEC2" => 2,
            "VEC3" => 3,
            "VEC4" => 4,
            other => return Err(bad!("scene: accessors of type {other} are not supported here")),
        };
        let component = Component::of(a.component_type)?;
        let size = lanes * component.size();
        let stride = stride.unwrap_or(size);
        let bytes = bytes
            .get(a.byte_offset..)
            .ok_or_else(|| bad!("scene: accessor {index} leaves its view"))?;
        if stride < size || stride > 252 {
            return Err(bad!("scene: accessor {index} has the stride {stride}"));
        }
        let needed = match a.count {
            0 => Some(0),
            n => (n - 1).checked_mul(stride).and_then(|x| x.checked_add(size)),
        };
        if needed.is_none_or(|n| n > bytes.len()) {
            return Err(bad!("scene: accessor {index} leaves its view"));
        }
        Ok(Layout { bytes, stride, count: a.count, lanes, component, normalized: a.normalized })
    }

    /// The elements of an accessor as `N` floats; missing lanes are zero. Every value is finite.
    pub fn floats<const N: usize>(&self, index: usize) -> Result<Vec<[f32; N]>> {
        let l = self.layout(index)?;
        let size = l.component.size();
        let mut out = Vec::with_capacity(l.count);
        for i in 0..l.count {
            let mut v = [0.0; N];
            for (lane, slot) in v.iter_mut().enumerate().take(l.lanes) {
                *slot = l.component.float(&l.bytes[i * l.stride + lane * size..], l.normalized);
                if !slot.is_finite() {
                    return Err(bad!("scene: accessor {index} holds a number that is not finite"));
                }
            }
            out.push(v);
        }
        Ok(out)
    }

    /// The elements of an index accessor.
    pub fn indices(&self, index: usize) -> Result<Vec<u32>> {
        let l = self.layout(index)?;
        if l.lanes != 1 {
            return Err(bad!("scene: accessor {index} does not hold indices"));
        }
        let at = |i: usize| &l.bytes[i * l.stride..];
        (0..l.count)
            .map(|i| match l.component {
                Component::U8 => Ok(u32::from(at(i)[0])),
                Component::U16 => Ok(u32::from(u16::from_le_bytes([at(i)[0], at(i)[1]]))),
                Component::U32 => Ok(u32::from_le_bytes([at(i)[0], at(i)[1], at(i)[2], at(i)[3]])),
                _ => Err(bad!("scene: accessor {index} does not hold indices")),
            })
            .collect()
    }
}
